"""Following a job: which one it is, and when it is given up."""

import dataclasses
import threading
from collections.abc import Callable

import pytest

from runners.flink import follow
from runners.flink.rest import RestError, Stages
from runners.launch import Job, JobError


@dataclasses.dataclass
class Cluster:
    """As `Rest` tells of one."""

    url = "http://jobmanager:8081"
    found: dict[str, tuple[str, str]]
    done_by_workers: int = 0
    last_failure: str = ""
    cancelled: list[str] = dataclasses.field(default_factory=list)

    def jobs(self) -> dict[str, tuple[str, str]]:
        return self.found

    def stages(self, job: str) -> Stages:
        return Stages(self.done_by_workers, self.done_by_workers, 9, "ReadAnnotations", 2)

    def cause(self, job: str) -> str:
        return self.last_failure

    def cancel(self, job: str) -> None:
        self.cancelled.append(job)
        self.found[job] = (self.found[job][0], "CANCELED")


@dataclasses.dataclass
class Onlooker:
    """A monitor that notes what it is told, and sees the signs that it is given."""

    sign: object = None
    told: list[Job] = dataclasses.field(default_factory=list)

    def submitted(self, job: Job) -> None:
        self.told.append(job)

    def log(self, line: str) -> None: ...

    def show_stages(self, done: int, total: int, running: str) -> None: ...

    def last_sign(self) -> object:
        return self.sign


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_POLL_SECONDS", 0.001)


@pytest.fixture
def never() -> Callable[[], object]:
    """Waits for a job that doesn't end as long as the test runs."""
    return threading.Event().wait


def submitted(cluster: Cluster) -> follow.Submission:
    submission = follow.Submission(cluster, "build")
    submission.is_begun = True
    cluster.found["new"] = ("build", "RUNNING")
    return submission


def test_jobs_that_had_the_name_before_are_not_minded():
    cluster = Cluster({"old": ("build", "RUNNING"), "other": ("x", "RUNNING")})
    with follow.cancelled_unless_done(submitted(cluster)):
        pass
    assert cluster.cancelled == ["new"]


def test_a_job_that_was_never_submitted_is_not_cancelled():
    cluster = Cluster({"old": ("build", "RUNNING")})
    with follow.cancelled_unless_done(follow.Submission(cluster, "build")):
        pass
    assert cluster.cancelled == []


@pytest.mark.parametrize("sign", [None, 7])
def test_workers_that_do_not_begin(never: Callable[[], object], sign: object):
    onlooker = Onlooker(sign)
    with pytest.raises(JobError, match=r"no worker has given a sign of life for 0\.05 s"):
        follow.Follower(submitted(Cluster({})), onlooker, 0.05).wait(never)
    url = "http://jobmanager:8081/#/job/running/new/overview"
    assert onlooker.told == [Job("Flink", "new", url)]


def test_workers_that_leave_no_signs_are_left_alone_once_they_have_begun():
    looks = 0

    class Watched(Cluster):
        def cause(self, job: str) -> str:
            nonlocal looks
            looks += 1
            if looks == 50:
                ended.set()
            return ""

    ended = threading.Event()
    submission = submitted(Watched({}, done_by_workers=1))
    follow.Follower(submission, Onlooker(), 0).wait(ended.wait)
    assert looks >= 50


def test_what_no_retry_mends_ends_a_build_at_once(never: Callable[[], object]):
    said = "the work folder /w isn't seen by a worker on host: name another"
    trace = f"java.lang.Exception: Traceback\ntransforms.progress.WorkFolderError: {said}"
    cluster = Cluster({}, last_failure=f"{trace} [while running 'ReadAnnotations']\n\n\tat org.x")
    with pytest.raises(JobError) as raised:
        follow.Follower(submitted(cluster), Onlooker(), 60).wait(never)
    assert str(raised.value) == said
    assert follow.beyond_mending("OSError: [Errno 28] No space left on device") is None


def test_a_job_manager_that_is_gone(never: Callable[[], object], monkeypatch: pytest.MonkeyPatch):
    class Gone(Cluster):
        def stages(self, job: str) -> Stages:
            raise RestError("refused")

    monkeypatch.setattr(follow, "_AWAY_SECONDS", 0.05)
    with pytest.raises(JobError, match="the job manager is gone: refused"):
        follow.Follower(submitted(Gone({})), Onlooker(7), 60).wait(never)
