"""What the protobuf compiler made of ``edgeless_api.proto``: never edited by hand."""
