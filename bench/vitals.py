"""What a service uses, as its /metrics say; and what the machine is denied."""

import os
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

MIB = 2**20


@dataclass(frozen=True)
class Vitals:
    """Of its process. rss_bytes: memory in use. cpu_s: CPU time since its start."""

    rss_bytes: float
    cpu_s: float


async def vitals(http: httpx.AsyncClient) -> Vitals:
    """http: whose base URL is the service's."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    found = {sample.name: sample.value for family in families for sample in family.samples}
    return Vitals(found["process_resident_memory_bytes"], found["process_cpu_seconds_total"])


def stolen_s() -> float:
    """CPU time that a virtual machine wanted and its host gave to others, since its start; proc_stat(5)."""
    steal = Path("/proc/stat").read_text().split()[8]
    return int(steal) / os.sysconf("SC_CLK_TCK")
