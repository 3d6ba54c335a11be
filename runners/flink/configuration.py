"""The configuration of a Flink cluster on this machine; see decision 61."""

from pathlib import Path

#: MiB of Java heap that a task manager keeps for itself.
FRAMEWORK_HEAP_MB = 64

_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


def write_configuration(
    folder: Path, rest_port: int, rpc_port: int, slots: int, heap_mb: int
) -> None:
    """Writes what a job manager and task managers read, into the folder `conf`.

    Args:
        folder: of the cluster.
        rest_port: where the job manager takes jobs.
        rpc_port: where task managers find it.
        slots: of each task manager.
        heap_mb: MiB of Java heap for the tasks of each task manager.
    """
    network_mb = 64 + 64 * slots
    configuration = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest_port,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": slots,
        # A task manager that is started without Flink's scripts wants each of these.
        "taskmanager.cpu.cores": slots,
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.framework.off-heap.size": "64m",
        "taskmanager.memory.task.heap.size": f"{heap_mb}m",
        "taskmanager.memory.task.off-heap.size": "16m",
        "taskmanager.memory.network.min": f"{network_mb}m",
        "taskmanager.memory.network.max": f"{network_mb}m",
        # Each output of a stage takes so many buffers of 32 KiB, and what crosses is small.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        "taskmanager.memory.managed.size": "64m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "128m",
        "taskmanager.memory.jvm-overhead.max": "128m",
        # Of batch jobs only the cluster's own strategy counts. Without it the loss of one task
        # manager or worker fails a job. The delay must exceed --environment_cache_millis. By this
        # strategy tasks that fail within a delay are one attempt; by fixed-delay each is one.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "6 s",
        "restart-strategy.exponential-delay.max-backoff": "7 s",
        "restart-strategy.exponential-delay.jitter-factor": 0,
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": 3,
        "cluster.registration.error-delay": 500,
        # Beam keeps workers from one stage to the next only where its classes are Flink's own.
        "classloader.resolve-order": "parent-first",
        "heartbeat.interval": 2000,
        # A process that has ended is missed sooner; this is for those that hang.
        "heartbeat.timeout": 30000,
        # A process that starts on a busy machine may get no CPU for longer than the default, after
        # which it would end.
        "pekko.tcp.timeout": "90 s",
        "pekko.ask.timeout": "60 s",
        "io.tmp.dirs": folder / "tmp",
    }
    lines = [f"{key}: {value}\n" for key, value in configuration.items()]
    (folder / "conf" / "config.yaml").write_text("".join(lines))
    (folder / "conf" / "log4j.properties").write_text(_LOGGING)
