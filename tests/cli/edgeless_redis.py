"""A Redis as an ε-ORC of EDGELESS leaves it, and what EDGELESS's own proxy_cli says of it."""

from typing import Any, Final

NODE_1: Final = "1ba123fd-e697-4e92-8413-ff63fd70ae9d"
NODE_9: Final = "9ba123fd-e697-4e92-8413-ff63fd70ae9c"
FUNCTION: Final = "d65ae2b9-0b15-4ab6-8a06-cf52287d0276"
RESOURCE: Final = "6b40e9a6-4bed-4456-9192-9a0ee93c06bd"
IDLE_FUNCTION: Final = "11111111-1111-4111-8111-111111111111"
IDLE_RESOURCE: Final = "21111111-1111-4111-8111-111111111111"
FUNCTION_PID: Final = "4aa04c71-d518-4c0a-b544-e2a19074174d"
RESOURCE_PID: Final = "78d37e02-56c4-4079-a1e7-3823925c8d0d"
WORKFLOW: Final = "193f5335-96e4-45f8-8ca9-219603cf70f5"
NOWHERE: Final = "00000000-0000-0000-0000-fffe00000000"
NOTHING: Final = "00000000-0000-0000-0000-fffd00000000"

CAPABILITIES: Final = (
    '{"num_cpus":2,"model_name_cpu":"AMD EPYC","clock_freq_cpu":2596.0,"num_cores":2,'
    '"mem_size":24105,"labels":["LABELS"],"is_tee_running":false,"has_tpm":false,'
    '"runtimes":["RUST_WASM"],"disk_tot_space":258019,"num_gpus":0,"model_name_gpu":"",'
    '"mem_size_gpu":0}'
)
HEALTH: Final = (
    '{"mem_free":FREE,"mem_used":646260,"mem_available":24037824,"proc_cpu_usage":1,'
    '"proc_memory":56468,"proc_vmemory":8803880,"load_avg_1":85,"load_avg_5":104,'
    '"load_avg_15":134,"tot_rx_bytes":89993728996,"tot_rx_pkts":23189312,"tot_rx_errs":0,'
    '"tot_tx_bytes":23131750,"tot_tx_pkts":84412788202,"tot_tx_errs":0,'
    '"disk_free_space":270553174016,"disk_tot_reads":858812416,"disk_tot_writes":804634624,'
    '"gpu_load_perc":-1,"gpu_temp_cels":-1000,"active_power":-1}'
)
FUNCTION_TEXT: Final = (
    '{"Function":[{"spec":{"id":"message_generator","function_type":"RUST_WASM","version":"0.1",'
    '"binary":null,"code":"m.wasm","outputs":["output"]},"annotations":{"init-payload":"x"},'
    '"state_specification":{"state_id":"9c3e20c0-31e7-460a-aefc-bcaa248fe20e",'
    f'"state_policy":"NodeLocal"}},"workflow_id":"{WORKFLOW}"}},[PIDS]]}}'
)
RESOURCE_TEXT: Final = (
    '{"Resource":[{"class_type":"file-log","configuration":{"filename":"my-local-file.log"},'
    f'"workflow_id":"{WORKFLOW}"}},"InstanceId(node_id: NODE, function_id: PID)"]}}'
)


def fill(client: Any) -> None:
    """As an ε-ORC of EDGELESS leaves it: two nodes, a function that logs to a file."""
    client.set("domain_info:domain_id", "domain-7000")
    for kind in ("node:capabilities", "provider", "instance", "dependency"):
        client.set(f"{kind}:last_update", "1795827960.4006553")
    for node, labels, provider in ((NODE_1, "b=c", "log-2"), (NODE_9, "hostname=vm", "log-1")):
        client.set(f"node:capabilities:{node}", CAPABILITIES.replace("LABELS", labels))
        client.zadd(f"node:health:{node}", {HEALTH.replace("FREE", "2"): 1795827968.2417746})
        client.zadd(f"node:health:{node}", {HEALTH.replace("FREE", "1"): 1795827966.2511895})
        client.set(
            f"provider:{provider}",
            f'{{"class_type":"file-log","node_id":"{node}","outputs":["a","b"]}}',
        )
    pid = f'"InstanceId(node_id: {NODE_9}, function_id: {FUNCTION_PID})"'
    client.set(f"instance:{FUNCTION}", FUNCTION_TEXT.replace("PIDS", pid))
    client.set(f"dependency:{FUNCTION}", f'{{"output":"{RESOURCE}"}}')
    there = RESOURCE_TEXT.replace("NODE", NODE_1).replace("PID", RESOURCE_PID)
    client.set(f"instance:{RESOURCE}", there)
    client.set(f"instance:{IDLE_FUNCTION}", FUNCTION_TEXT.replace("PIDS", ""))
    idle = RESOURCE_TEXT.replace("NODE", NOWHERE).replace("PID", NOTHING)
    client.set(f"instance:{IDLE_RESOURCE}", idle)
    client.zadd(
        f"performance:{FUNCTION_PID}:function_execution_time",
        {
            "1795827966.2566867:0.002766214": 1795827966.2566867,
            "1795827967.2609053:0.002411074": 1795827967.2609053,
        },
    )
    client.zadd(
        f"performance:{FUNCTION_PID}:edgeless::log", {"1750244173:value: 1, or 2": 1750244173.0}
    )


def health_words(free: int) -> str:
    return (
        f"memory free {free} kb, used 646260 kb, available 24037824 kb, process cpu usage 1%, "
        "memory 56468 kb, vmemory 8803880 kb, load avg 1 minute 85% 5 minutes 104% "
        "15 minutes 134%, network tot rx 89993728996 bytes (23189312 pkts) 0 errs, "
        "tot tx 23131750 bytes (84412788202 pkts) 0 errs, disk available 270553174016 bytes, "
        "tot disk reads 858812416 writes 804634624, gpu_load_perc -1%, gpu_temp_cels -1.00°, "
        "active_power -1 mW\n"
    )


def _capabilities(labels: str) -> str:
    return (
        f"2 AMD EPYC CPU(s) at 2596 BogoMIPS, 2 core(s), 24105 MiB memory, labels [{labels}], "
        "runtimes [RUST_WASM], disk space 258019 MiB, 0  GPU(s) 0 MiB\n"
    )


#: As EDGELESS's own program answers the same Redis, letter by letter.
SHOWN: Final = {
    "functions": f"{FUNCTION} -> {NODE_9}\n",
    "resources": f"{IDLE_RESOURCE} -> {NOWHERE}\n{RESOURCE} -> {NODE_1}\n",
    "logical-to-physical": (
        f"{IDLE_RESOURCE} -> {NOTHING}\n{RESOURCE} -> {RESOURCE_PID}\n"
        f"{FUNCTION} -> {FUNCTION_PID}\n"
    ),
    "node capabilities": (
        f"{NODE_1} -> {_capabilities('b=c')}vm -> {_capabilities('hostname=vm')}"
    ),
    "node resource-providers": (
        f"log-1 -> class_type file-log, node_id {NODE_9}, outputs [a,b]\n"
        f"log-2 -> class_type file-log, node_id {NODE_1}, outputs [a,b]\n"
    ),
    "node health": f"{NODE_1} -> {health_words(2)}vm -> {health_words(2)}",
    "node instances": (
        f"{NOWHERE}\n[R] {IDLE_RESOURCE}\n{NODE_1}\n[R] {RESOURCE}\nvm\n[F] {FUNCTION}\n"
    ),
    # EDGELESS does not show the function that does not run.
    "logical-to-workflow": "".join(
        f"{one} -> {WORKFLOW}\n" for one in (IDLE_FUNCTION, IDLE_RESOURCE, RESOURCE, FUNCTION)
    ),
}
