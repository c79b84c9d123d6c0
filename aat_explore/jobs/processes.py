"""Identity of a process: its id alone is not enough, because ids are reused."""

import subprocess
from pathlib import Path


def seen(pid: int) -> tuple[str, str] | None:
    """When the process began and its command line, joined by spaces; None if there is none or only a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = (
                Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            )
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else (f"{boot} {fields[19]}", command)
    listing = subprocess.run(["ps", "-ww", "-o", "lstart=,command=", "-p", str(pid)], capture_output=True, text=True)
    line = listing.stdout.strip()
    return (line[:24], line[24:].strip()) if line else None
