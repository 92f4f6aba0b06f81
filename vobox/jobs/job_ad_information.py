"""Format the event 028 that follows an event where job_ad_information_attrs asks for it.

It repeats the event's own attributes and adds those of the job that its description names. What
is an expression there is left out: only literals are written.
"""

from __future__ import annotations

from typing import Final

from vobox.classad.ad import Ad, literal
from vobox.classad.literals import NOT_LITERAL, literal_value
from vobox.client.log_attributes import read_event

#: HTCondor's names of the events that 028 follows.
_TRIGGERS: Final = {
    0: "SUBMIT", 1: "EXECUTE", 4: "JOB_EVICTED", 5: "JOB_TERMINATED", 6: "IMAGE_SIZE",
    9: "JOB_ABORTED", 10: "JOB_SUSPENDED", 11: "JOB_UNSUSPENDED", 12: "JOB_HELD",
    13: "JOB_RELEASED", 21: "REMOTE_ERROR", 33: "ATTRIBUTE_UPDATE",
}  # fmt: skip
#: Characters of ``) 2026-11-28 16:26:07``, which ends an event's header.
_HEADER_LENGTH: Final = 21


def format_job_ad_information(text: str, ad: Ad) -> str:
    """Return the event 028 that follows an event; "" where the job wants none.

    ``text``: the event as it is written into the user log; ``ad``: the job's.
    """
    names = ad.text("JobAdInformationAttrs").replace(",", " ").split()
    event = read_event(text) if names else None
    number = event["EventTypeNumber"] if event else None
    if event is None or not isinstance(number, int) or number not in _TRIGGERS:
        return ""
    # an ad has an attribute once, however often and in whatever case it is named
    found = Ad(
        {
            n: literal(value)
            for n, value in event.items()
            if isinstance(value, (bool, int, float, str))
        }
    )
    for name in names:
        if name in ad and literal_value(ad[name]) is not NOT_LITERAL:
            found[name] = ad[name]
    found["EventTypeNumber"] = "28"
    found["TriggerEventTypeNumber"] = str(number)
    found["TriggerEventTypeName"] = literal(f"ULOG_{_TRIGGERS[number]}")
    lines = (f"{name} = {found[name]}\n" for name in sorted(found, key=str.lower))
    job_and_time = text[3 : _HEADER_LENGTH + text.index(")")]
    return f"028{job_and_time} Job ad information event triggered.\n{''.join(lines)}...\n"
