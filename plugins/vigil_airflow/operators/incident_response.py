"""Response to incidents: finds those that wait, attaches their context, does what a person chose."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperator, Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from infra.targets import DEPLOYED_LAST
from streaming.errors import Unavailable, VigilError
from vigil_airflow.health_gate import look, wait
from vigil_airflow.hooks import VigilHook
from vigil_airflow.outcomes import Outcome

if TYPE_CHECKING:
    from infra.service_manager import ServiceStatus
    from streaming.alerting.context.model import Context as IncidentContext
    from streaming.alerting.context.model import Deed
    from streaming.alerting.messages import Incident

AUTHOR = "incident_response"
"""Who attaches context, in the history and in the audit."""


class FindIncidentsOperator(BaseOperator):
    """Finds open incidents without a context note: firing or acknowledged, of `severities`, not muted, no canary.

    Reads the incidents as the alert manager last committed them, whatever woke the DAG. Skips what follows where there
    is none.

    Args:
        severities: of info, warning, error, critical (templated).
        limit: at most so many, the longest waiting first; the next run takes the rest.
        target: as `infra.targets.reference` takes it (templated).

    Returns: their ids.

    Raises:
        AirflowSkipException: there is none.
        Unavailable: Kafka does not answer.
    """

    template_fields: Sequence[str] = ("severities", "target")
    ui_color = "#fce5cd"

    def __init__(
        self,
        *,
        severities: Sequence[str] | str = ("critical",),
        limit: int = 10,
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.severities, self.limit, self.target = severities, limit, target

    def execute(self, context: Context) -> list[str]:
        """Looks for them."""
        from streaming.alerting.context.response import find_waiting
        from streaming.alerting.messages import Severity

        wanted = [Severity(name) for name in _names(self.severities)]
        found = find_waiting(VigilHook(self.target).settings, self.limit, wanted)
        if not found:
            raise AirflowSkipException(f"no {' or '.join(wanted)} incident waits for its context")
        for incident in found:
            self.log.info("%s of rule %s waits: %s", incident.incident_id, incident.rule_id, _line(incident.title))
        return [incident.incident_id for incident in found]


class GatherContextOperator(BaseOperator):
    """Gathers what is known around an incident, attaches it as the incident's one context note, and keeps all of it.

    The note goes into the incident's history and, as a reply, into its thread. All of it is in the task's log and, if
    Elasticsearch takes it, in the document of index `vigil-incident-context` that has the incident's id. A source that
    is away is named in the note; it fails nothing.

    Args:
        incident_id: of the incident (templated).
        asks: task id of the task that asks a person what to do, whose page the note names; empty: none.
        target: as `infra.targets.reference` takes it (templated).

    Returns: `subject` and `body` (Markdown) for that task, and `service`, which a restart would be about.

    Raises:
        AirflowSkipException: other work has attached the context, or the incident is forgotten: nothing is left to do.
        NotYetObeyed: no alert manager works now; to be tried again, the note will not be there twice.
        Unavailable: Kafka does not answer.
    """

    template_fields: Sequence[str] = ("incident_id", "target")
    ui_color = "#fce5cd"

    def __init__(self, *, incident_id: str, asks: str = "", target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.incident_id, self.asks, self.target = incident_id, asks, target

    def execute(self, context: Context) -> dict[str, str]:
        """Gathers, attaches, keeps."""
        from infra.response import derived
        from streaming.alerting.context.gathering import gather
        from streaming.alerting.context.rendering import note_of, whole_text
        from streaming.alerting.context.response import attach
        from streaming.alerting.orders import Orders, UnknownIncident

        hook = VigilHook(self.target)
        orders = Orders(hook.settings)
        try:
            incident = orders.incident(self.incident_id)
            done, away = _deeds(hook)
            found = gather(hook.settings, incident, done, deeds_away=away)
            self.log.info("context of %s:\n%s", self.incident_id, _shown(whole_text(found)))
            work = f"run {context['run_id']}"
            is_ours = attach(hook.settings, orders, found, author=AUTHOR, work=work, closing=self._where(context))
        except UnknownIncident as unknown:
            raise AirflowSkipException(f"it is over for longer than it could reopen: {unknown}") from None
        if not is_ours:
            raise AirflowSkipException(f"{self.incident_id} has its context already, from another run")
        self._keep(hook, found)
        service = derived(incident, hook.services)
        return {
            "subject": f"{incident.severity.value.upper()}: {_line(incident.title)} [{incident.incident_id}]",
            "body": body_of(incident, note_of(found), service),
            "service": service,
        }

    def _keep(self, hook: VigilHook, found: IncidentContext) -> None:
        from streaming.alerting.context.documents import keep

        try:
            keep(hook.settings, found)
        except VigilError as error:
            self.log.warning("the document is not kept, the note is: %s", error)

    def _where(self, context: Context) -> str:
        base_url = conf.get("api", "base_url", fallback="")
        if not self.asks or not base_url:
            return ""
        ti = context["ti"]
        run = quote(str(context["run_id"]), safe=":+")
        # The address that `HITLOperator.generate_link_to_ui` makes finds no task that is mapped (provider 1.21).
        index = -1 if ti.map_index is None else ti.map_index
        place = f"{self.asks}/mapped/{index}" if index >= 0 else self.asks
        page = f"{base_url.rstrip('/')}/dags/{ti.dag_id}/runs/{run}/tasks/{place}/required_actions"
        return f"What is to be done: {page}"


class CarryOutChoiceOperator(BaseOperator):
    """Does what a person chose about an incident, as that person: acknowledges or silences it, or restarts a service
    and waits for its health gate.

    Args:
        incident_id: of the incident (templated).
        decided_by: task id of the `HITLOperator` that asked, with the options of `infra.response.Choice` and, for
            restarts, a parameter `service` (empty: the one that the incident is about).
        target: as `infra.targets.reference` takes it (templated).

    Returns: what was done.

    Raises:
        ServiceStaysUnhealthy: the service was restarted, and its health gate does not open.
        ConfigError: the restart is about no service of the catalogue.
        VigilError: as orders and the service manager do.
    """

    template_fields: Sequence[str] = ("incident_id", "target")
    ui_color = "#fce5cd"

    def __init__(self, *, incident_id: str, decided_by: str, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.incident_id, self.decided_by, self.target = incident_id, decided_by, target

    def execute(self, context: Context) -> str:
        """Does it."""
        from infra.response import Choice, carry_out, service_of
        from streaming.alerting.orders import Orders, UnknownIncident

        ti = context["ti"]
        answer = ti.xcom_pull(task_ids=self.decided_by, map_indexes=ti.map_index)
        choice, author, asked = answer_of(answer)
        if choice is Choice.NOTHING:
            self.log.info("nothing is to be done (%s)", author)
            return "nothing was to be done"
        hook = VigilHook(self.target)
        orders = Orders(hook.settings)
        try:
            incident = orders.incident(self.incident_id)
        except UnknownIncident as unknown:
            raise AirflowSkipException(f"it is over for longer than it could reopen: {unknown}") from None
        service = service_of(incident, hook.services, asked) if choice is Choice.RESTART else ""
        done = carry_out(
            choice,
            incident,
            author=author,
            work=f"run {context['run_id']}",
            orders=orders,
            manager=hook.manager,
            service=service,
        )
        self.log.info("%s: %s", author, done)
        return f"{done}; {self._healthy(hook, service)}" if service else done

    def _healthy(self, hook: VigilHook, name: str) -> str:
        service = hook.service(name)
        found = wait(lambda: look(hook.platform, service), time.time() + service.timeout_s)
        if found.outcome is not Outcome.MET:
            raise ServiceStaysUnhealthy(f"{name} was restarted and is not healthy: {found.reason}")
        return f"it is healthy: {found.reason}"


class ServiceStaysUnhealthy(AirflowFailException):
    """A restart did not help; the text says why. Trying again would restart it once more."""


def answer_of(answer: Mapping[str, Any]) -> tuple[Any, str, str]:
    """What a human-in-the-loop task returned: the choice, who made it, and the service that was asked for."""
    from infra.response import Choice

    user = answer.get("responded_by_user")
    name = (user.get("name") or user.get("id")) if isinstance(user, Mapping) else None
    asked = str((answer.get("params_input") or {}).get("service") or "")
    choice = Choice(answer["chosen_options"][0])
    return choice, f"{name} (Airflow)" if name else "nobody in time (Airflow)", asked


def body_of(incident: Incident, text: str, service: str) -> str:
    """The context as Markdown: one block of code, which nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in _runs_of_back_ticks(text)), default=0))
    restart = f"`{service}`" if service else "none by itself: choose one below"
    return (
        f"Incident `{incident.incident_id}` of rule `{incident.rule_id}`. A restart would be of: {restart}.\n\n"
        f"{fence}text\n{_shown(text)}\n{fence}\n"
    )


def _runs_of_back_ticks(text: str) -> list[str]:
    import re

    return re.findall("`+", text)


def _deeds(hook: VigilHook) -> tuple[list[Deed], str]:
    """What was done to the platform, and why it is not known whole."""
    from infra.deeds import deeds
    from infra.intent import last_order

    away: list[str] = []
    statuses: list[ServiceStatus] = []
    try:
        statuses = hook.manager.all()
    except Unavailable as error:
        away.append(str(error))
    try:
        order = last_order(hook.platform.home)
    except VigilError as error:
        order = None
        away.append(str(error))
    return deeds(order, statuses), "; ".join(away)


def _names(severities: Sequence[str] | str) -> list[str]:
    """As given, or, from a template, as text."""
    if not isinstance(severities, str):
        return list(severities)
    return [name.strip(" '\"") for name in severities.strip("[]() ").split(",") if name.strip(" '\"")]


def _line(text: str) -> str:
    from streaming.alerting.text import one_line

    return one_line(text, 200)


def _shown(text: str) -> str:
    """Control characters but line feeds taken out."""
    from streaming.alerting.text import without_controls

    return without_controls(text)
