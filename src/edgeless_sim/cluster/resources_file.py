"""``[resources]`` of a node's file, from what the node is told.

Not here: the other tables, and reading (`component_files`).
"""

from typing import Any

from edgeless_sim.cluster.component_settings import NodeComponent

__all__ = ["resources_table"]


def resources_table(settings: NodeComponent) -> dict[str, Any]:
    """Each provider of *settings* by the key of its class, and where they may go."""
    table: dict[str, Any] = {
        "http_ingress_url": settings.http_ingress_url,
        "http_egress_allow": settings.http_egress_allow,
        "redis_allow": settings.redis_allow,
        "kafka_allow": settings.kafka_allow,
    }
    for provider_id, class_type in settings.providers:
        if class_type == "ollama":
            told = settings.ollama
            table["ollama_provider"] = {
                "host": told.host,
                "port": told.port,
                "messages_number_limit": told.messages_number_limit,
                "provider": provider_id,
            }
        elif class_type == "file-pusher":
            table["file_pusher_provider"] = {
                "directory": str(settings.file_pusher_directory or ""),
                "provider": provider_id,
            }
        elif class_type == "metrics-collector":
            table["metrics_collector_provider"] = {
                "redis_url": settings.collector_redis_url,
                "provider": provider_id,
            }
        elif class_type != "serverless":
            table[f"{class_type.replace('-', '_')}_provider"] = provider_id
    table["serverless_provider"] = tuple(
        {
            "class_type": each.class_type,
            "version": each.version,
            "function_url": each.function_url,
            "provider": each.provider_id,
        }
        for each in settings.serverless
    )
    return table
