"""The nouns of EDGELESS: frozen values without behaviour.

Nothing here waits, sends or knows the time; see README.md. Inside the project import from the
defining modules. The readers of files, `workflow_file` and `function_file`, are not re-exported:
they load pydantic, which takes longer than all of this package.
"""

from edgeless_sim.model.annotations import DeploymentRequirements, parse_requirements
from edgeless_sim.model.compat import COMPAT, STRICT, Compatibility, Profile, compatibility
from edgeless_sim.model.domain import DomainCapabilities, DomainTotals, sum_capabilities
from edgeless_sim.model.event import (
    ERR,
    METADATA_ROOT,
    NO_REPLY,
    CallReturn,
    CallReturnKind,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import (
    FUNCTION_ID_NONE,
    NODE_ID_NONE,
    WORKFLOW_ID_NONE,
    DomainId,
    FunctionId,
    InstanceId,
    InstanceKey,
    LogicalId,
    NodeId,
    WorkflowId,
    parse_uuid,
)
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.model.node import (
    CAPABILITIES_CSV_HEADER,
    HEALTH_CSV_HEADER,
    INVALID_HEALTH,
    FunctionLogEntry,
    NodeCapabilities,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
    validated_providers,
)
from edgeless_sim.model.workflow import (
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
    validate_workflow,
    workflow_warnings,
)

__all__ = [
    "CAPABILITIES_CSV_HEADER",
    "COMPAT",
    "ERR",
    "FUNCTION_ID_NONE",
    "HEALTH_CSV_HEADER",
    "INVALID_HEALTH",
    "METADATA_ROOT",
    "NODE_ID_NONE",
    "NO_REPLY",
    "STRICT",
    "WORKFLOW_ID_NONE",
    "CallReturn",
    "CallReturnKind",
    "Compatibility",
    "Cordon",
    "DeploymentRequirements",
    "DomainCapabilities",
    "DomainId",
    "DomainTotals",
    "Event",
    "EventType",
    "FunctionClassSpecification",
    "FunctionId",
    "FunctionLogEntry",
    "InstanceId",
    "InstanceKey",
    "Intent",
    "LogicalId",
    "Migrate",
    "NodeCapabilities",
    "NodeHealthStatus",
    "NodeId",
    "NodePerformanceSamples",
    "PatchRequest",
    "Profile",
    "ResourceInstanceSpecification",
    "ResourceProviderSpecification",
    "Sample",
    "SpawnFunctionRequest",
    "SpawnWorkflowRequest",
    "StatePolicy",
    "StateSpecification",
    "Target",
    "Uncordon",
    "WorkflowFunction",
    "WorkflowId",
    "WorkflowResource",
    "compatibility",
    "parse_requirements",
    "parse_uuid",
    "sum_capabilities",
    "validate_workflow",
    "validated_providers",
    "workflow_warnings",
]
