"""JupyterLab on a copy of the notebooks, as `make lab` opens them, for tests that drive it in a browser.

Nothing of the reader's own Jupyter is read or written, and nothing of the repository is changed.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psutil

from ssacl_lib import paths

PATIENCE = 240
"""Seconds to wait at most; all cells of notebook 00 take 35 on a machine with other work."""
COPIED = ("notebooks", "figures/cpu/notebooks", "teaching", "data/README.md", "data/PHANTOM.md", "README.md")
FOLDERS = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")

READY = """path => {
    const open = window.jupyterapp?.shell?.currentWidget?.context
    const session = open?.path === path && open.sessionContext
    return !!(session && open.isReady && session.isReady && session.session?.kernel?.connectionStatus === 'connected'
        && session.session.kernel.status === 'idle')
}"""
"""The toolbar says idle before the kernel listens, and "run all cells" then does nothing, in silence."""
WRONG = """() => jupyterapp.shell.currentWidget.content.widgets.filter(one => one.model.type === 'code')
    .flatMap(one => one.model.outputs.toJSON()).filter(one => one.output_type === 'error')
    .map(one => `${one.ename}: ${one.evalue}`)"""
"""The errors in the outputs of the notebook in front."""
RAN = f"""() => {{
    const front = jupyterapp.shell.currentWidget
    const code = front.content.widgets.map(one => one.model).filter(one => one.type === 'code')
    const idle = front.context.sessionContext.session.kernel.status === 'idle'
    return ({WRONG})().length > 0 || (idle && code.every(one => one.executionCount))
}}"""


@contextmanager
def lab(folder: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab on a copy of notebooks and pages below `folder`; gives its address and its token.

    Afterwards the server, its kernels and its port are found gone.
    """
    root = folder / "root"
    for name in COPIED:
        if (paths.ROOT / name).is_dir():
            shutil.copytree(paths.ROOT / name, root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, root / name)
    for path in (root / "notebooks").glob("*.ipynb"):  # what a reader's own run makes stays out of the repository, too
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("out_dir = None", f"out_dir = {str(folder / 'made')!r}"), encoding="utf-8")
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    whole = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    whole.parent.mkdir(parents=True)
    whole.write_text(json.dumps({"windowingMode": "none"}))  # else cells out of sight are not in the page
    page = (
        folder / "config_dir" / "labconfig" / "page_config.json"
    )  # the debugger complains where a notebook closes at once
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/debugger-extension": True}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home, token = f"http://127.0.0.1:{port}/", secrets.token_hex(16)
    own = {f"JUPYTER_{name}": str(folder / name.lower()) for name in FOLDERS}
    own |= {f"JUPYTERLAB_{name}_DIR": str(folder / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(paths.ROOT)}
    options = (
        "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--port-retries=0",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True",
        "--ServerApp.websocket_ping_interval=600",  # a busy machine may answer late
    )  # fmt: skip
    with (folder / "server.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(server, f"{home}api/status?token={token}", folder / "server.log")
        yield home, token
    finally:
        started = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        server.terminate()
        _, alive = psutil.wait_procs(started, timeout=PATIENCE / 5)
        for process in alive:
            process.kill()
    assert not alive, f"still running after the server was told to stop: {alive}"
    with socket.socket() as last:
        assert last.connect_ex(("127.0.0.1", port)) != 0, "the port is still open"


def _wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    """Until the server answers."""
    end = monotonic() + PATIENCE
    while monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            sleep(0.2)
    raise RuntimeError(f"JupyterLab does not answer (exit code {server.poll()}); it said:\n{log.read_text()}")


def open_notebook(page, path: str) -> None:
    """Open a notebook in the Lab that the page shows, and wait until its kernel listens."""
    page.evaluate("async path => { await jupyterapp.commands.execute('docmanager:open', {path}) }", path)
    page.wait_for_function(READY, arg=path, timeout=1000 * PATIENCE)


def run_all(page) -> list[str]:
    """Run all cells of the notebook in front, by the menu; gives the errors that its cells show."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('[data-command="runmenu:run-all"]').click()
    page.wait_for_function(RAN, timeout=1000 * PATIENCE)
    return page.evaluate(WRONG)


def close(page) -> None:
    """Close what is in front, and end its kernel."""
    page.evaluate("""async () => {
        const front = jupyterapp.shell.currentWidget
        await front.context.sessionContext.shutdown()
        front.dispose()
    }""")
