"""The process applications of bpmn/, tested as docs/testing.md tells modellers to test theirs."""

pytest_plugins = ["worker.testing"]
