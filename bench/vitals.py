"""What a service uses, as its /metrics say."""

from dataclasses import dataclass

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
