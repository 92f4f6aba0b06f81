"""Make ads.json: what HTCondor's own library makes of the descriptions here.

Run it in an environment of its own, which is never a dependency of ours:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install 'htcondor==24.*'
    /tmp/oracle/bin/python tests/golden/submit/generate.py

The directory of the run is written as @CWD@. An ad is kept as its differences
from the first one, the plain job's. Needs the openssl command, for a proxy.
The descriptions of queues.txt are whole ones.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
QDATE = 1_700_000_000
ENVIRONMENT = {
    "FOO": "1",
    "BARA": "x y",
    "BARX": "3",
    "HOME": "/home/alice",
    "X509_USER_PROXY": "@CWD@/proxy.pem",
}


def one(text):
    """In a process of its own: messages of the library go to stderr, and it may exit."""
    import htcondor

    jobs = htcondor.Submit(text).jobs(count=0, clusterid=7, qdate=QDATE, owner="alice")
    print(json.dumps([{name: str(ad.lookup(name)) for name in ad} for ad in jobs]))


def main():
    work = Path(tempfile.mkdtemp()).resolve() / "work"
    (work / "data").mkdir(parents=True)
    (work / "agent.sh").write_text("#!/bin/sh\necho hello\n")
    (work / "data/a").write_text("a\n")
    (work / "data/b").write_text("b\n")
    (work / "items.txt").write_text("i1 v1\ni2, v2 w\ni3\n")
    (work / "common.sub").write_text("executable = agent.sh\narguments = common\ncommon = here\n")
    make_proxy(work / "proxy.pem")
    results = []
    plain = None
    for name, text in texts():
        environment = {
            name: value.replace("@CWD@", str(work)) for name, value in ENVIRONMENT.items()
        }
        environment["CONDOR_CONFIG"] = "/dev/null"
        done = subprocess.run(
            [sys.executable, __file__, "--one"],
            input=text.replace("@CWD@", str(work)),
            capture_output=True,
            text=True,
            cwd=work,
            env=environment,
        )
        result = {"description": text, "file": name}
        if done.returncode == 0:
            ads = json.loads(done.stdout.replace(str(work), "@CWD@"))
            plain = plain or ads[0]
            result["ads"] = [differences(plain, ad) for ad in ads]
        else:
            result["error"] = done.stderr.replace(str(work), "@CWD@")
        results.append(result)
    results.insert(0, {"plain": plain})
    (HERE / "ads.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def make_proxy(path):
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/C=CH/CN=Alice Agent", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    path.chmod(0o600)


def differences(plain, ad):
    changed = {name: value for name, value in ad.items() if plain.get(name) != value}
    return {**changed, **{name: None for name in plain if name not in ad}}


def texts():
    yield "plain", "executable = agent.sh\nqueue\n"
    blocks = (HERE / "descriptions.txt").read_text().rstrip("\n").split("\n%%\n")
    for block in blocks:
        yield "", f"executable = agent.sh\n{block}\nqueue\n"
    for block in (HERE / "queues.txt").read_text().rstrip("\n").split("\n%%\n"):
        yield "queues.txt: " + block, block + "\n"
    for path in sorted(HERE.glob("*.sub")):
        yield path.name, path.read_text()


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        try:
            one(sys.stdin.read())
        except Exception as error:
            sys.stderr.write(f"EXCEPTION {error}")
            sys.exit(1)
    else:
        main()
