"""Elasticsearch's own parsers of settings, roles and certificates, from its published jars, in a process of their own.

`python -m tests.support.elastic_parsers JARS MORE` reads a list of `Asked` from standard input and writes as many
`Answered`. JARS is the folder of the servers' jars, MORE that of those of security, which tests alone use.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from infra.local.jars import ensure_jars
from infra.local.java import libjvm
from streaming.settings import CHECKOUT

LOCK = Path(__file__).with_name("elastic_parsers.lock.toml")
WITHIN_S = 120.0


class Question(msgspec.Struct):
    """May a role do this: an action of an index, or of the cluster where there is no index?"""

    role: str
    action: str
    index: str = ""


class Asked(msgspec.Struct):
    """`folder` is laid out as Elasticsearch reads it; `roles` are role descriptors by a name."""

    folder: str
    roles: dict[str, dict[str, object]] = {}
    questions: list[Question] = []


class Answered(msgspec.Struct):
    """`refused`: what the parsers did not take, in their words; `certificates`: subjects that were loaded; `may`: by
    question."""

    refused: list[str]
    certificates: list[str] = []
    may: list[bool] = []


def ask(asked: list[Asked], jars: Path, cache: Path) -> list[Answered]:
    """Asks the parsers, each time afresh.

    Raises:
        Unavailable: a jar cannot be had.
    """
    ensure_jars(cache, lambda _: None, LOCK)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.elastic_parsers", str(jars), str(cache)],
        input=msgspec.json.encode(asked),
        capture_output=True,
        timeout=WITHIN_S,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Answered])


class Parsers:
    """The Java side."""

    def __init__(self, jars: Path, cache: Path) -> None:
        import jpype
        import jpype.imports

        paths = (
            *ensure_jars(jars, lambda _: None).elasticsearch,
            *ensure_jars(cache, lambda _: None, LOCK).elasticsearch,
        )
        options = ("-Xmx256m", "--enable-native-access=ALL-UNNAMED")
        jpype.startJVM(str(libjvm()), *options, classpath=[str(path) for path in paths])
        self._jpype, self.java = jpype, jpype.JClass
        logging = self.java("org.elasticsearch.common.logging.LogConfigurator")
        logging.setNodeName("test")
        logging.configureESLogging()
        self.refused: list[str] = []

    def settings(self, folder: Path) -> Any:
        """elasticsearch.yml, held against every setting that server and security register."""
        builder = self.java("org.elasticsearch.common.settings.Settings").builder()
        builder.loadFromPath(self.java("java.nio.file.Path").of(str(folder / "elasticsearch.yml")))
        builder.put("path.home", str(folder.parent))
        found = builder.build()
        lists, scoped = self.java("java.util.ArrayList"), self.java("org.elasticsearch.common.settings.ClusterSettings")
        known = self.java("java.util.HashSet")(scoped.BUILT_IN_CLUSTER_SETTINGS)
        provider = "org.elasticsearch.xpack.security.transport.extension.RemoteClusterSecurityExtension$Provider"
        nothing = self._jpype.JProxy(self.java(provider), dict={"getSettings": lambda: lists()})
        known.addAll(self.java("org.elasticsearch.xpack.core.XPackSettings").getAllSettings())
        known.addAll(self.java("org.elasticsearch.xpack.security.Security").getSettings(lists(), nothing))
        self._try("elasticsearch.yml", lambda: scoped(found, known).validate(found, True))
        return found

    def certificates(self, settings: Any, folder: Path) -> list[str]:
        """Subjects of what `SSLService` loads, with the files of trust."""
        environment = self.java("org.elasticsearch.env.Environment")(
            settings, self.java("java.nio.file.Path").of(str(folder))
        )
        service = self._try("tls", lambda: self.java("org.elasticsearch.xpack.core.ssl.SSLService")(environment))
        return sorted({str(one.subjectDn()) for one in service.getLoadedCertificates()}) if service else []

    def role(self, name: str, descriptor: object) -> Any:
        """A role descriptor, parsed and validated as the API does it."""
        content = self.java("org.elasticsearch.common.bytes.BytesArray")(msgspec.json.encode(descriptor).decode())
        kind = self.java("org.elasticsearch.xcontent.XContentType").JSON
        parser = self.java("org.elasticsearch.xpack.core.security.authz.RoleDescriptor").parserBuilder().build()
        found = self._try(name, lambda: parser.parse(name, content, kind))
        validator = "org.elasticsearch.xpack.core.security.action.role.RoleDescriptorRequestValidator"
        if found is not None and (problem := self.java(validator).validate(found)) is not None:
            self.refused.append(f"{name}: {problem.getMessage()}")
        return found

    def may(self, role: Any, question: Question) -> bool:
        """Whether a role's privileges hold an action."""
        privileges = "org.elasticsearch.xpack.core.security.authz.privilege"
        if not question.index:
            builder = self.java("org.elasticsearch.xpack.core.security.authz.permission.ClusterPermission").builder()
            for name in role.getClusterPrivileges():
                builder = self.java(f"{privileges}.ClusterPrivilegeResolver").resolve(name).buildPermission(builder)
            return bool(builder.build().check(question.action, None, None))
        pattern = self.java("org.elasticsearch.common.regex.Regex")
        sets = self.java("java.util.HashSet")
        for one in role.getIndicesPrivileges():
            if pattern.simpleMatch(one.getIndices(), question.index):
                names = sets(self.java("java.util.Arrays").asList(one.getPrivileges()))
                for found in self.java(f"{privileges}.IndexPrivilege").resolveBySelectorAccess(names):
                    if found.predicate().test(question.action):
                        return True
        return False

    def _try(self, what: str, act: Any) -> Any:
        try:
            return act()
        except self._jpype.JException as error:
            self.refused.append(f"{what}: {error.getMessage()}")
            return None


def _answer(parsers: Parsers, asked: Asked) -> Answered:
    parsers.refused = []
    settings = parsers.settings(Path(asked.folder))
    certificates = parsers.certificates(settings, Path(asked.folder))
    roles = {name: parsers.role(name, descriptor) for name, descriptor in asked.roles.items()}
    may = [parsers.may(roles[one.role], one) for one in asked.questions]
    return Answered(parsers.refused, certificates, may)


def main() -> None:
    """Entry point."""
    parsers = Parsers(Path(sys.argv[1]), Path(sys.argv[2]))
    answers = [_answer(parsers, one) for one in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Asked])]
    print()
    print(msgspec.json.encode(answers).decode(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
