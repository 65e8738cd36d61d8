"""Renews the certificates of deployments to machines before they expire."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from vigil_airflow.hooks import VigilHook
from vigil_airflow.operators.intent import changing

if TYPE_CHECKING:
    from streaming.settings import Settings


class CertificatesNotRenewed(AirflowException):
    """Of one deployment or more; the text says of which, and why."""


class RenewCertificatesOperator(BaseOperator):
    """Of every deployment to machines that this host knows, renews what is due (`infra.machines.rotation.renew`), and
    finishes what an earlier rotation left half done. Safe to repeat: what is done is not due any more.

    Where nothing is due, no machine is asked anything. A deployment that fails does not keep the others from theirs.

    Args:
        within_days: also what expires within so many; "" or "None" for what is due alone (templated).

    Returns: by deployment, `{"renewed": names of certificates, "restarted": SERVICE@MACHINE in order}`.

    Raises:
        AirflowSkipException: there is no such deployment, or one is being deployed or torn down, which see to their
            certificates themselves.
        CertificatesNotRenewed: see the text.
    """

    template_fields: Sequence[str] = ("within_days",)
    ui_color = "#d9ead3"

    def __init__(self, *, within_days: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.within_days = within_days

    def execute(self, context: Context) -> dict[str, dict[str, list[str]]]:
        """One after the other."""
        from infra.machines import known
        from streaming.errors import VigilError

        settings = VigilHook("local").settings
        names = known.names(settings)
        if not names:
            raise AirflowSkipException("this host has no deployment to machines, so there are no certificates to renew")
        if under_way := changing(context):
            raise AirflowSkipException(f"{' and '.join(under_way)} is running; the next run looks again")
        done, failed = {}, []
        for name in names:
            try:
                done[name] = self._renew(settings, name)
            except VigilError as error:
                self.log.error("%s: %s", name, error)
                failed.append(f"{name}: {error}")
        if failed:
            raise CertificatesNotRenewed("; ".join(failed))
        return done

    def _renew(self, settings: Settings, name: str) -> dict[str, list[str]]:
        from infra.machines import known
        from infra.machines.rotation.rotate import renew
        from infra.machines.rotation.standing import standings

        within = None if self.within_days in ("", "None") else float(self.within_days)
        with closing(known.machines(settings, name)) as machines:
            now = machines.store.now()
            for one in standings(machines.inventory, machines.store, machines.pending, now, machines.software):
                left = one.days_left(now)
                self.log.info("%s: %s is %s%s", name, one.name, one.state, "" if left is None else f", {left:.0f} days")
            found = renew(machines, lambda line: self.log.info("%s: %s", name, line), within)
        renewed = [*found.plan.certificates, *(["authority"] if found.plan.authority else [])]
        return {"renewed": renewed, "restarted": list(found.restarted)}
