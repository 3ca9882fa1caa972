"""`spanledger run`: start a command whose Python processes record their LLM calls, its code unchanged.

The command takes this process's place, so signals and the exit code are its own.
"""

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

DEFAULT_ENDPOINT = "http://localhost:4317"
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_OTEL_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_WITH_VALUE = ("--endpoint", "--service-name", "--header")
_USAGE = "spanledger run [options] -- command [arguments]"


def main(argv: list[str]) -> int:
    """Run the command. Returns only if it cannot start: 127 not found, 126 not executable, 2 misused."""
    parser = _parser()
    ours, words = _split(argv)
    try:
        options = parser.parse_args(ours)
    except SystemExit as stop:
        return int(stop.code or 0)
    if not words:
        parser.print_usage(sys.stderr)
        sys.stderr.write("spanledger run: which command?\n")
        return 2
    return _replace(command_line(words), environment(options, words, os.environ))


def command_line(words: Sequence[str]) -> list[str]:
    """`app.py` and `-m module` run with this Python; anything else is a program."""
    for_python = words[0].endswith(".py") or words[0] == "-m"
    return [sys.executable, *words] if for_python else list(words)


def environment(
    options: argparse.Namespace, words: Sequence[str], inherited: Mapping[str, str]
) -> dict[str, str]:
    """What the command inherits, with our start-up folder first and the options as variables."""
    changed = dict(inherited)
    folder = str(_autostart_folder())
    path = [entry for entry in inherited.get("PYTHONPATH", "").split(os.pathsep) if entry]
    changed["PYTHONPATH"] = os.pathsep.join([folder, *(entry for entry in path if entry != folder)])
    endpoint = options.endpoint or inherited.get("SPANLEDGER_ENDPOINT")
    if endpoint is None and not any(inherited.get(name) for name in _OTEL_ENDPOINTS):
        endpoint = DEFAULT_ENDPOINT
    if endpoint:
        changed["SPANLEDGER_ENDPOINT"] = endpoint
    if options.header:
        changed["SPANLEDGER_HEADERS"] = ",".join(_header(text) for text in options.header)
    if options.capture_content:
        changed["SPANLEDGER_CAPTURE_CONTENT"] = "true"
    service = options.service_name or _default_service(words, inherited)
    if service:
        changed["OTEL_SERVICE_NAME"] = service
    return changed


def _autostart_folder() -> Path:
    # Located, not imported: this process only starts another one.
    spec = importlib.util.find_spec("spanledger.instrumentation")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("spanledger.instrumentation")
    return Path(spec.origin).resolve().parent / "autostart"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spanledger run", usage=_USAGE, description="Run a command with its LLM calls recorded."
    )
    parser.add_argument("--endpoint", help=f"OTLP gRPC address of the collector (default {DEFAULT_ENDPOINT})")
    parser.add_argument("--service-name", help="service.name of the spans (default: the script's name)")
    parser.add_argument(
        "--capture-content", action="store_true", help="record prompts and answers too (off by default)"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="KEY=VALUE", type=_checked, help="may be repeated"
    )
    return parser


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our options, and the command: what follows `--`, or begins with the first word that is no option."""
    position = 0
    while position < len(argv):
        word = argv[position]
        if word == "--":
            return list(argv[:position]), list(argv[position + 1 :])
        if word == "-m" or not word.startswith("-"):
            break
        position += 2 if word in _WITH_VALUE else 1
    return list(argv[:position]), list(argv[position:])


def _checked(text: str) -> str:
    if "=" not in text.lstrip("="):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return text


def _header(text: str) -> str:
    key, _, value = text.partition("=")
    return f"{quote(key.strip())}={quote(value.strip())}"


def _default_service(words: Sequence[str], inherited: Mapping[str, str]) -> str | None:
    resource = inherited.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if inherited.get("OTEL_SERVICE_NAME") or "service.name=" in resource:
        return None
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    script = next((word for word in words if word.endswith(".py")), words[0])
    return Path(script).stem


def _replace(command: list[str], variables: dict[str, str]) -> int:
    program = shutil.which(command[0], path=variables.get("PATH"))
    if program is None:
        found = Path(command[0]).exists()
        sys.stderr.write(f"spanledger run: {command[0]}: {'not executable' if found else 'not found'}\n")
        return _NOT_EXECUTABLE if found else _NOT_FOUND
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, command, variables)  # noqa: S606 - running the user's command is the purpose
    except OSError as error:
        sys.stderr.write(f"spanledger run: {command[0]}: {error.strerror}\n")
        return _NOT_EXECUTABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
