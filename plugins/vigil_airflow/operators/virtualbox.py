"""Machines of VirtualBox in a DAG: the host is looked at, a plan is shown, a person approves it, it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from infra.targets import DEPLOYMENT, Kind, Reference, forget_last
from streaming.settings import load_settings

if TYPE_CHECKING:
    from infra.virtualbox.deployment import Deployment, Proposal
    from infra.virtualbox.wanted import Wanted

FORM = ("guest_family", "network", "dns", "nodes", "port_bases", "stop_timeout_s")
"""Parameters of the DAG that are fields of `infra.virtualbox.wanted.Wanted`; the image's have names of their own."""


class HostNotReady(AirflowFailException):
    """This host lacks something that the machines need; the text says what, and how to mend it."""


class _DeploymentOperator(BaseOperator):
    """Base: one deployment to VirtualBox, by its name (templated)."""

    template_fields: Sequence[str] = ("deployment",)
    ui_color = "#cfe2f3"

    def __init__(self, *, deployment: str = DEPLOYMENT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment

    def _deployment(self) -> Deployment:
        from infra.virtualbox.deployment import Deployment

        return Deployment(load_settings(), self.deployment, lambda line: self.log.info("%s", line))

    def _wanted(self, deployment: Deployment, params: Mapping[str, Any]) -> Wanted:
        from infra.virtualbox.wanted import over, parse

        form: dict[str, object] = {name: params.get(name) for name in FORM}
        form["image"] = {
            "source": params.get("image"),
            "checksum": params.get("image_checksum"),
            "format": params.get("image_format"),
        }
        return parse(over(deployment.wanted_before, form), "the form")


class CheckHostOperator(_DeploymentOperator):
    """Looks whether this host offers what machines need: VBoxManage, Terraform, the image with its sum, memory, disk.

    Args:
        deployment: its name (templated). The rest is taken from the DAG's parameters (`FORM`).

    Raises:
        HostNotReady: it does not; every reason with its remedy.
        ConfigError: the form asks for what cannot be.
    """

    def execute(self, context: Context) -> None:
        """Looks and judges."""
        from infra.local.preflight import Verdict
        from infra.virtualbox.precheck import judge, look

        deployment = self._deployment()
        wanted = self._wanted(deployment, context["params"])
        checks = judge(wanted, look(wanted, deployment.folder, deployment.machines), deployment.machines)
        for check in checks:
            self.log.info("%-10s %-6s %s", check.name, check.verdict, check.text)
        failed = [f"{check.name}: {check.text}" for check in checks if check.verdict is Verdict.FAILED]
        if failed:
            raise HostNotReady("\n  ".join(["this host is not ready:", *failed]))


class PlanMachinesOperator(_DeploymentOperator):
    """Plans what leads to what the form asks for, repairs included. Changes nothing.

    Args:
        deployment: its name (templated). The rest is taken from the DAG's parameters (`FORM`).

    Returns: the plan, for `ApprovePlanOperator` and `ApplyPlanOperator`: `subject` and `body` (Markdown) for a person,
        `is_empty`, and `proposal`.

    Raises:
        Refused: a name or a port is somebody else's.
        VigilError: Terraform or VBoxManage refuses; the text says why.
    """

    def execute(self, context: Context) -> dict[str, object]:
        """Plans."""
        deployment = self._deployment()
        proposal = deployment.propose(self._wanted(deployment, context["params"]))
        return self._shown(proposal, f"Make this of deployment {self.deployment}?", self._lost(proposal))

    def _shown(self, proposal: Proposal, subject: str, lost: Sequence[str]) -> dict[str, object]:
        import msgspec

        from infra.virtualbox.approval import body
        from infra.virtualbox.changes import lines

        for line in (*lines(proposal.changes), *proposal.drift, *(f"lost: {line}" for line in lost)):
            self.log.info("%s", line)
        return {
            "subject": subject,
            "body": body(proposal, lost),
            "is_empty": proposal.is_empty,
            "proposal": msgspec.to_builtins(proposal),
        }

    def _lost(self, proposal: Proposal) -> tuple[str, ...]:
        """What nobody has any more afterwards, beyond the disks themselves."""
        from infra.machines import known
        from infra.virtualbox.approval import lost_with

        settings = load_settings()
        if self.deployment not in known.names(settings):
            return ()
        return lost_with(proposal, known.machines(settings, self.deployment))


class PlanEndOperator(PlanMachinesOperator):
    """Plans the destruction of a deployment's machines. Changes nothing.

    Args:
        deployment: its name (templated).

    Returns, Raises: as `PlanMachinesOperator`.
    """

    def execute(self, context: Context) -> dict[str, object]:
        """Plans."""
        proposal = self._deployment().propose_end()
        return self._shown(proposal, f"Destroy deployment {self.deployment} for good?", self._lost(proposal))

    def _lost(self, proposal: Proposal) -> tuple[str, ...]:
        from infra.machines import known
        from infra.virtualbox.approval import lost_at_end

        settings = load_settings()
        if proposal.is_empty or self.deployment not in known.names(settings):
            return ()
        return lost_at_end(known.machines(settings, self.deployment))


class ApprovePlanOperator(ApprovalOperator):
    """Asks a person whether a plan may be applied; asks nobody where it is empty, or where `ask` is false.

    Args:
        plan_task: id of the task that planned.
        ask: "True" or "False" (templated).

    Raises:
        HITLRejectException: it was rejected, or nobody answered in time: the run fails, and nothing was changed.
    """

    template_fields = (*ApprovalOperator.template_fields, "ask")

    def __init__(self, *, plan_task: str, ask: str | bool = True, **kwargs: Any) -> None:
        found = f"ti.xcom_pull(task_ids='{plan_task}')"
        super().__init__(
            subject=f"{{{{ {found}['subject'] }}}}",
            body=f"{{{{ {found}['body'] }}}}",
            defaults=self.REJECT,
            fail_on_reject=True,
            **kwargs,
        )
        self.plan_task, self.ask = plan_task, ask

    def execute(self, context: Context) -> Any:
        """Asks, unless there is nothing to be asked."""
        plan = context["ti"].xcom_pull(task_ids=self.plan_task)
        if plan["is_empty"]:
            self.log.info("nothing is to be changed: nobody is asked")
            return None
        if str(self.ask) == "False":
            self.log.info("nobody is asked, as it was ordered; the plan:\n%s", self.body)
            return None
        return super().execute(context)


class ApplyPlanOperator(_DeploymentOperator):
    """Applies exactly the plan that was approved, with its progress in the log, and writes the inventory.

    Args:
        plan_task: id of the task that planned.
        software: how software comes to the machines: `upload` or `packages` (templated).
        deployment: its name (templated).

    Returns: the inventory's file.

    Raises:
        ConfigError: another plan was made since; run the task that plans once more.
        VigilError: a step failed. What was made before it is kept: trigger the DAG again, and the rest is done.
    """

    template_fields: Sequence[str] = ("deployment", "software")

    def __init__(self, *, plan_task: str, software: str = "upload", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task, self.software = plan_task, software

    def execute(self, context: Context) -> str:
        """Applies."""
        from infra.machines import known
        from infra.machines.known import Deployed, Origin
        from infra.machines.programs import Software

        deployment = self._deployment()
        deployment.apply(_proposal(context, self.plan_task))
        inventory = deployment.inventory()
        return str(known.remember(load_settings(), inventory, Deployed(Origin.VIRTUALBOX, Software(self.software))))


class DestroyMachinesOperator(_DeploymentOperator):
    """Destroys what `PlanEndOperator` planned: machines, disks, network, forwards, keys. Backups and exports are left.

    Args:
        plan_task: id of the task that planned.
        deployment: its name (templated).

    Raises:
        ConfigError, VigilError: as `ApplyPlanOperator`.
    """

    ui_color = "#f4cccc"

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task = plan_task

    def execute(self, context: Context) -> None:
        """Destroys."""
        deployment = self._deployment()
        deployment.end(_proposal(context, self.plan_task))
        forget_last(Reference(Kind.VIRTUALBOX, self.deployment), load_settings())
        self.log.info("nothing of %s is in VirtualBox; backups and exports: %s", self.deployment, deployment.folder)


def _proposal(context: Context, plan_task: str) -> Proposal:
    from infra.virtualbox.deployment import Proposal
    from streaming.decoding import converted

    return converted(context["ti"].xcom_pull(task_ids=plan_task)["proposal"], Proposal)
