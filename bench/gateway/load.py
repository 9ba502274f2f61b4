"""Drives wrk, and reads what an answer cost the worker."""

import json
import math
import pathlib
import signal
import subprocess
import time

from servers import HERE, Failed

CONNECTIONS = 16


class Load:
    """One run of wrk against a URL; start it, then ask for its result. wrk itself counts in whole seconds: a shorter run
    is ended by the signal at which it stops and reports."""

    def __init__(self, url, seconds, token=None, rotate=None, paced=False, connections=CONNECTIONS):
        script = "rotate.lua" if rotate else "pace.lua" if paced else "report.lua"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds) + 1}s", "--timeout", "20s", "-s", str(HERE / script)]
        if token:
            command += ["-H", f"Authorization: Bearer {token}"]
        command += [url] + (["--", str(rotate)] if rotate else [])
        self.url, self.end = url, time.monotonic() + seconds
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        """Waits for the end. Anything but answers of 2xx or 3xx ends the benchmark: a failure is quick to serve."""
        time.sleep(max(0, self.end - time.monotonic()))
        self.process.send_signal(signal.SIGINT)
        output = self.process.communicate()[0]
        try:
            result = json.loads(output.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failed(f"wrk failed at {self.url}: {output.strip()}") from None
        if result["refused"] or result["failed"] or not result["requests"]:
            raise Failed(f"{self.url} refused {result['refused']} requests and {result['failed']} failed, "
                         f"of {result['requests']}")
        result["per_second"] = result["requests"] / result["microseconds"] * 1e6
        return result


def processor_time(pid):
    """Nanoseconds that a process has run, its threads included."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def measured(worker, load):
    """A load's result, with the worker's processor time for each request in nanoseconds."""
    before = processor_time(worker)
    result = load().result()
    result["worker_ns"] = (processor_time(worker) - before) / result["requests"]
    return result
