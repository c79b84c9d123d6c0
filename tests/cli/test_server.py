"""The dashboard's server: the port it takes, what it is told, and that it ends with whoever started it."""

import os
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from servers import answers
from waiting import PATIENCE, wait_for

from aat_explore.cli import main, server

ROOT = Path(__file__).parents[2]
CHILD = [sys.executable, "-c", "import time; time.sleep(600)"]
PARENT = f"""
import sys, time
from pathlib import Path
from aat_explore.cli import main, server
server._command = lambda port: {CHILD!r}
with server.serving(Path("cache"), 1) as served:
    print(served.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def taken():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def executed(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_the_app_is_served_on_this_machine_only_and_told_which_cache(tmp_path, monkeypatch, executed, capsys):
    monkeypatch.chdir(tmp_path)
    port = server.free_port(9000)
    assert main(["app", "--cache-dir", "relative", "--port", str(port)]) in (0, None)
    ((program, command, env),) = executed
    assert program == command[0] == sys.executable
    assert command[1:4] == ["-m", "streamlit", "run"]
    assert {"--server.address=127.0.0.1", f"--server.port={port}"} <= set(command)
    assert env["AAT_CACHE"] == str(tmp_path / "relative")
    assert capsys.readouterr().out == f"dashboard on http://127.0.0.1:{port} (Ctrl-C stops it)\n"


def test_the_settings_are_beside_the_page_that_is_served_in_the_project_and_in_the_wheel(executed):
    main(["app"])
    ((_, command, _),) = executed
    assert Path(command[4]) == ROOT / "app.py"
    assert (ROOT / ".streamlit/config.toml").is_file()
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    pages = Path(built["force-include"]["app.py"])
    assert Path(built["force-include"][".streamlit/config.toml"]) == pages.parent / ".streamlit/config.toml"


def test_a_taken_port_is_passed_over_for_the_next_free_one(taken, executed, capsys):
    assert server.free_port(taken) in range(taken + 1, taken + server.PORTS_TRIED)
    main(["app", "--port", str(taken)])
    ((_, command, _),) = executed
    (port,) = (word.removeprefix("--server.port=") for word in command if word.startswith("--server.port="))
    assert int(port) > taken
    assert f"http://127.0.0.1:{port} " in capsys.readouterr().out


def test_where_no_port_is_free_the_complaint_names_one_that_is(taken, monkeypatch, executed, capsys):
    monkeypatch.setattr(server, "PORTS_TRIED", 1)
    assert main(["app", "--port", str(taken)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"aat: port={taken} is taken, and so are all up to {taken}; use another, e.g. ")
    assert server.free_port(int(message.split()[-1])) == int(message.split()[-1])
    assert not executed


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_served_dashboard_ends_with_a_process_that_is_told_to_end(sign):
    def heard() -> None:  # whoever runs the tests may ignore these signals, which children inherit
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment(), preexec_fn=heard,
    ) as parent:  # fmt: skip
        child = int(parent.stdout.readline())
        assert exists(child)
        parent.send_signal(sign)
        assert parent.wait(PATIENCE) == (-sign if sign == signal.SIGINT else 128 + sign)
        assert not exists(child)


def test_sigterm_to_the_app_leaves_nobody_listening(tmp_path):
    port = server.free_port(8900)
    url = server.address(port, "_stcore/health")
    program = "import sys; from aat_explore.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "app", "--port", str(port), "--cache-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as app:
        wait_for(lambda: answers(url))
        app.terminate()
        app.wait(PATIENCE)
        assert not answers(url)
        assert server.free_port(port) == port
