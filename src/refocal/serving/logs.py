"""The log of the service: one line of JSON per event, on standard error."""

import json
import logging
import sys
import time

LOG = logging.getLogger("refocal.serving")


class JsonLines(logging.Formatter):
    """Time, level, message; what came along as `extra={"entry": …}`; and the traceback, if there is one."""

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102  of logging
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "entry", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(level: str = "INFO") -> None:
    """Send the log of the service to standard error only; a second call changes nothing."""
    if not LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        LOG.addHandler(handler)
        logging.captureWarnings(capture=True)
        logging.getLogger("py.warnings").addHandler(handler)
    LOG.setLevel(level)
    LOG.propagate = False
