"""What a component of a deployment shows about itself over HTTP: measurements and health."""
