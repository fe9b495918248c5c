"""Micro-Manager's server without Java: speaks the bridge's protocol on a port, over a real core with DemoCamera.

What operators have is Micro-Manager's Java program with its server switched on. This program answers as that does, in
a process of its own that a test can kill: methods with the argument types of the Java core, images in one dimension
and without sign, string vectors as objects, errors as text with a trace.

    python java_bridge.py [PORT]       prints the port on which it answers
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SERVER_VERSION = "5.1.0"  # the one that pyjavaz asks for
_INT, _DOUBLE, _BOOLEAN, _STRING = "int", "double", "boolean", "java.lang.String"

CORE_METHODS: dict[str, list[tuple[str, ...]]] = {
    "clearCircularBuffer": [()],
    "clearROI": [()],
    "deviceBusy": [(_STRING,)],
    "getAllowedPropertyValues": [(_STRING, _STRING)],
    "getBytesPerPixel": [()],
    "getCameraDevice": [()],
    "getCircularBufferMemoryFootprint": [()],
    "getDevicePropertyNames": [(_STRING,)],
    "getExposure": [(), (_STRING,)],
    "getFocusDevice": [()],
    "getImage": [(), ("long",)],
    "getImageBitDepth": [()],
    "getImageHeight": [()],
    "getImageWidth": [()],
    "getLoadedDevices": [()],
    "getPixelSizeUm": [(), (_BOOLEAN,)],
    "getPosition": [(), (_STRING,)],
    "getProperty": [(_STRING, _STRING)],
    "getRemainingImageCount": [()],
    "getVersionInfo": [()],
    "getXPosition": [(), (_STRING,)],
    "getXYStageDevice": [()],
    "getYPosition": [(), (_STRING,)],
    "hasProperty": [(_STRING, _STRING)],
    "isBufferOverflowed": [()],
    "isSequenceRunning": [(), (_STRING,)],
    "popNextImage": [()],
    "setCameraDevice": [(_STRING,)],
    "setExposure": [(_DOUBLE,), (_STRING, _DOUBLE)],
    "setPosition": [(_DOUBLE,), (_STRING, _DOUBLE)],
    "setProperty": [(_STRING, _STRING, value) for value in (_STRING, _BOOLEAN, _INT, "float", _DOUBLE)],
    "setROI": [(_INT,) * 4, (_STRING, *(_INT,) * 4)],
    "setXYPosition": [(_DOUBLE, _DOUBLE), (_STRING, _DOUBLE, _DOUBLE)],
    "snapImage": [()],
    "startSequenceAcquisition": [(_INT, _DOUBLE, _BOOLEAN), (_STRING, _INT, _DOUBLE, _BOOLEAN)],
    "stopSequenceAcquisition": [(), (_STRING,)],
    "waitForDevice": [(_STRING,)],
}
VECTOR_METHODS: dict[str, list[tuple[str, ...]]] = {"size": [()], "get": [(_INT,)]}


class StrVector:
    """The core's string vector as Java has it."""

    def __init__(self, items: tuple[str, ...]) -> None:
        self._items = items

    def size(self) -> int:
        return len(self._items)

    def get(self, index: int) -> str:
        return self._items[index]


class Server:
    """Answers one message after the other; `objects` are those that the other side holds."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.objects: dict[str, Any] = {}

    def answer(self, message: dict[str, Any]) -> list[bytes]:
        try:
            reply, pixels = self._reply(message), None
            if hasattr(reply, "dtype"):
                pixels, kind = reply, {1: "byte", 2: "short"}[reply.dtype.itemsize]
                reply = {"type": f"{kind}-array", "value": "@1"}  # the number stands before the bytes
        except Exception as error:
            trace = "mmcorej.MMCoreJJNI.CMMCore_call(Native Method)\nmmcorej.CMMCore.call(CMMCore.java:1)\n"
            reply, pixels = {"type": "exception", "value": f"java.lang.Exception: {error}\n{trace}"}, None
        parts = [json.dumps(reply).encode("iso-8859-1")]
        return parts if pixels is None else [*parts, (1).to_bytes(4, sys.byteorder), pixels.tobytes()]

    def _reply(self, message: dict[str, Any]) -> Any:
        match message["command"]:
            case "connect":
                return {"type": "none", "version": SERVER_VERSION}
            case "get-constructors":
                return {"type": "none", "api": [{"name": message["classpath"], "arguments": []}]}
            case "constructor":
                return self._shadow(self._core, message["classpath"], CORE_METHODS)
            case "destructor":
                del self.objects[message["hash-code"]]
                return {"type": "none"}
            case "run-method":
                return self._run(self.objects[message["hash-code"]], message["name"], message["arguments"])
        raise ValueError(f"unknown command {message['command']}")

    def _run(self, target: Any, name: str, arguments: list[Any]) -> Any:
        result = getattr(target, name)(*arguments)
        if result is None:
            return {"type": "null"}
        if hasattr(result, "dtype"):
            return result.ravel()
        if isinstance(result, tuple):
            return self._shadow(StrVector(result), "mmcorej.StrVector", VECTOR_METHODS)
        return {"type": "string" if isinstance(result, str) else "primitive", "value": result}

    def _shadow(self, thing: Any, name: str, methods: dict[str, list[tuple[str, ...]]]) -> dict[str, Any]:
        hash_code = f"{id(thing):x}-{time.monotonic_ns():x}"
        self.objects[hash_code] = thing
        api = [
            {"name": method, "arguments": list(arguments), "return-type": "java.lang.Object"}
            for method, overloads in methods.items()
            for arguments in overloads
        ]
        return {
            "type": "unserialized-object", "class": name, "hash-code": hash_code, "interfaces": [name], "fields": [],
            "api": api,
        }  # fmt: skip


def main(port: int) -> None:
    import mm_test_adapters
    import zmq
    from pymmcore import CMMCore

    adapters = mm_test_adapters.device_adapter_path()
    core = CMMCore()
    core.setDeviceAdapterSearchPaths([adapters])
    core.loadSystemConfiguration(str(Path(adapters) / "MMConfig_demo.cfg"))
    core.setCircularBufferMemoryFootprint(16)
    reply_socket = zmq.Context.instance().socket(zmq.REP)
    if port:
        reply_socket.bind(f"tcp://127.0.0.1:{port}")
    else:
        port = reply_socket.bind_to_random_port("tcp://127.0.0.1")
    print(port, flush=True)
    server = Server(core)
    while True:
        parts = reply_socket.recv_multipart()
        reply_socket.send_multipart(server.answer(json.loads(parts[0].decode("iso-8859-1"))), copy=False)


class JavaBridge:
    """The server in a process of its own; a context."""

    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, str(port)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> JavaBridge:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
