"""What sqlx and its twin in simulation have in common: URLs, texts, limits.

Not here: which statements may run (`sql_session`), and where files are (`database_folder`).
"""

from typing import Final

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.files import REJECTED_SUMMARY, check_path

__all__ = [
    "COMPANIONS",
    "CONFIGURATIONS",
    "DATABASES_MAX",
    "DESCRIPTION",
    "INSTANCES_MAX",
    "TIMEOUT_S",
    "WAITING_MAX",
    "check_room",
    "database_path",
    "read_configuration",
    "too_many_databases",
]

DESCRIPTION: Final = "SQL statements on the table WorkflowState of an SQLite database"
CONFIGURATIONS: Final = {"url": "the database, sqlite://FILE, below a folder of the node"}
#: Events of one instance that wait for its worker.
WAITING_MAX: Final = 1024
#: For one statement, and for the lock of the database before it.
TIMEOUT_S: Final = 2.0
#: Each has a connection with descriptors and a cache of its own.
INSTANCES_MAX: Final = 100
#: Files with databases that a node may have.
DATABASES_MAX: Final = 100
_SCHEME: Final = "sqlite://"
#: SQLite's own files beside a database. Who could name them could write into another's journal.
COMPANIONS: Final = ("-journal", "-wal", "-shm")


def database_path(url: str) -> str:
    """The file that *url* names, below the node's folder; see `files.check_path`.

    Raise `RejectedError`, without showing what may be a password.
    """
    fault = None
    path = url.removeprefix(_SCHEME)
    if path == url:
        fault = "write sqlite://FILE; other schemes are not allowed"
    elif "@" in path:
        fault = "a file has neither user nor password: remove what stands before '@'"
    elif "?" in path or "#" in path:
        fault = "parameters are not allowed: remove what follows '?' or '#'"
    elif path.lower().endswith(COMPANIONS):
        fault = f"SQLite's own files end in {', '.join(COMPANIONS)}: take another name"
    if fault is not None:
        raise RejectedError(REJECTED_SUMMARY, f"url: {fault}")
    check_path(path)
    return path


def read_configuration(specification: ResourceInstanceSpecification) -> tuple[str, str]:
    """The file of an instance, and the id of its workflow; raise `RejectedError`."""
    url = specification.configuration.get("url")
    if url is None:
        raise RejectedError(REJECTED_SUMMARY, "One of the fields 'url' is missing")
    workflow: WorkflowId = specification.workflow_id
    return database_path(url), str(workflow)


def check_room(instances: int) -> None:
    """Raise `RejectedError` if there is no room for one more than *instances*."""
    if instances >= INSTANCES_MAX:
        raise RejectedError(
            REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
        )


def too_many_databases(path: str) -> str:
    """What is wrong with one database more."""
    return f"{path}: the node has {DATABASES_MAX} databases, the most it can"
