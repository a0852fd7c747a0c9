"""What workers do in tests of the engine; importable by name, as a spawned process needs it."""

import os
import time

from inference.findings import Refusal
from node.worker import JobOutcome, JobSpec


def by_pipeline_name(spec: JobSpec, device: str) -> JobOutcome:
    if spec.pipeline == "hang":
        time.sleep(600)
    if spec.pipeline == "die":
        os._exit(7)
    if spec.pipeline == "fault":
        raise RuntimeError("the disk is on fire")
    return JobOutcome(
        refusal=Refusal(code=f"{device} {os.getpid()}", reason="", remedy="") if spec.pipeline == "who" else None
    )
