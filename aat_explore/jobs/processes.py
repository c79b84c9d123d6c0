"""Whether a process is still the one it was: a process id alone is given again to another."""

import subprocess
from pathlib import Path


def seen(pid: int) -> tuple[str, str] | None:
    """When the process began and its command line, joined by spaces; None if it is not there or only a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            said = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else (f"{boot} {fields[19]}", said)
    shown = subprocess.run(["ps", "-ww", "-o", "lstart=,command=", "-p", str(pid)], capture_output=True, text=True)
    line = shown.stdout.strip()
    return (line[:24], line[24:].strip()) if line else None
