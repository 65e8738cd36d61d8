"""Elasticsearch for tasks: a client by a connection of Airflow, else by this installation's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from streaming.errors import ConfigError

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from streaming.settings import Settings

CONNECTION = "vigil_elasticsearch"

ANSWER_WITHIN_S = 10.0
"""For one request, where the connection says nothing else."""


class VigilElasticsearchHook(BaseHook):
    """Gives the client of the library elasticsearch.

    By the Airflow connection `elasticsearch_conn_id` (type Elasticsearch: host, port, schema http or https, login and
    password; its extra is handed to the client as it is, so `{"ca_certs": ..., "request_timeout": 5}` work), else by
    VIGIL_ELASTICSEARCH_URL or the port of this installation.

    Args:
        elasticsearch_conn_id: the connection's name.
        settings: the installation's; None: read when they are needed.
    """

    conn_name_attr = "elasticsearch_conn_id"
    default_conn_name = CONNECTION
    conn_type = "elasticsearch"
    hook_name = "Elasticsearch (Vigil)"

    def __init__(self, elasticsearch_conn_id: str = CONNECTION, *, settings: Settings | None = None) -> None:
        super().__init__()
        self.elasticsearch_conn_id = elasticsearch_conn_id
        self._settings = settings
        self._client: Elasticsearch | None = None

    @property
    def client(self) -> Elasticsearch:
        """The client, made at its first use. It connects when it is asked something.

        Raises:
            ConfigError: connection or settings cannot be used.
        """
        if self._client is None:
            self._client = self._by_connection() or self._by_settings()
        return self._client

    def get_conn(self) -> Elasticsearch:
        """`client`, under the name by which Airflow's hooks give it."""
        return self.client

    def close(self) -> None:
        """Disconnects; the next use connects again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _by_connection(self) -> Elasticsearch | None:
        # As the provider's ElasticsearchSQLHook reads it, which brings pandas along and takes seconds to import.
        from elasticsearch import Elasticsearch

        try:
            connection = self.get_connection(self.elasticsearch_conn_id)
        except AirflowNotFoundException:
            return None
        named = f"Airflow's connection {self.elasticsearch_conn_id}"
        if not connection.host or not connection.port:
            raise ConfigError("host and port are needed", field=named)
        url = f"{connection.schema or 'http'}://{connection.host}:{connection.port}"
        options = {"request_timeout": ANSWER_WITHIN_S, **connection.extra_dejson}
        for of_sql in ("fetch_size", "field_multi_value_leniency"):
            options.pop(of_sql, None)
        if connection.login:
            options["basic_auth"] = (connection.login, connection.password or "")
        try:
            return Elasticsearch(url, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the client does not take it: {error}", field=named, remedy="See its extra") from error

    def _by_settings(self) -> Elasticsearch:
        from elasticsearch import Elasticsearch

        from streaming.settings import load_settings

        access = (self._settings or load_settings()).elastic
        options: dict[str, Any] = {"request_timeout": ANSWER_WITHIN_S}
        if access.api_key:
            options["api_key"] = access.api_key
        if access.url.startswith("https:"):  # the library refuses options of TLS beside an address without it
            options["ssl_context"] = access.tls()
        return Elasticsearch(access.url, **options)
