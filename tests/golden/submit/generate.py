"""Fill in what HTCondor's own library makes of the descriptions here.

Run it in an environment of its own, which is never a dependency of ours:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install 'htcondor==24.*'
    /tmp/oracle/bin/python tests/golden/submit/generate.py

Cases are separated by lines ``%%``. A description ends at a line ``=>``; what follows is made:
the ads, separated by lines ``--``, each as its differences from that of plain.sub; or after
``=> refused`` what the library says. descriptions.txt has what is between the executable and the
queue statement, queues.txt whole descriptions, files.txt the names of files with such.

The directory of the run is written as @CWD@. Needs the openssl command, for a proxy.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
QDATE = 1_700_000_000
#: Attributes that say where the ad was made.
NOT_COMPARED = ("DiskUsage ", "FileSystemDomain ")
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
    make_proxy(work / "proxy.pem")
    plain = {}
    for name in ("files.txt", "descriptions.txt", "queues.txt"):
        made = []
        for case in (HERE / name).read_text().removesuffix("\n").split("\n%%\n"):
            text = re.split("^=>", case, maxsplit=1, flags=re.MULTILINE)[0]
            ads, error = run(describe(name, text), work)
            plain = plain or ads[0]
            if name == "files.txt" and ads == [plain]:
                result = format_ad({}, plain)
            else:
                result = "\n--".join(format_ad(plain, ad) for ad in ads)
            made.append(f"{text}=> refused\n{error}" if error else f"{text}=>{result}")
        (HERE / name).write_text("\n%%\n".join(made) + "\n")


def describe(name, text):
    """Return the whole description of a case in the file ``name``."""
    if name == "files.txt":
        return (HERE / text.strip()).read_text()
    return text if name == "queues.txt" else f"executable = agent.sh\n{text}queue\n"


def run(description, work):
    """Return the ads, or what the library says."""
    environment = {name: value.replace("@CWD@", str(work)) for name, value in ENVIRONMENT.items()}
    environment["CONDOR_CONFIG"] = "/dev/null"
    done = subprocess.run(
        [sys.executable, __file__, "--one"],
        input=description.replace("@CWD@", str(work)),
        capture_output=True,
        text=True,
        cwd=work,
        env=environment,
    )
    if done.returncode:
        return [], done.stderr.replace(str(work), "@CWD@")
    return json.loads(done.stdout.replace(str(work), "@CWD@")), ""


def make_proxy(path):
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/C=CH/CN=Alice Agent", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    path.chmod(0o600)


def format_ad(plain, ad):
    lines = [f"{name} = {ad[name]}" for name in sorted(ad) if plain.get(name) != ad[name]]
    lines += [f"{name} is absent" for name in sorted(plain) if name not in ad]
    lines = [line for line in lines if not line.startswith(NOT_COMPARED)]
    # lists and records are printed on several lines
    return "".join("\n" + re.sub(r"\n\s*", " ", line) for line in lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        try:
            one(sys.stdin.read())
        except Exception as error:
            sys.stderr.write(f"EXCEPTION {error}")
            sys.exit(1)
    else:
        main()
