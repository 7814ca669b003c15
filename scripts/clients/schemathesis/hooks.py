"""What schemathesis may not make up: names of members that are bad though JSON Schema cannot say so, for it counts
characters where the server counts bytes."""

import schemathesis

CHARACTERS_MAX = BYTES_MAX = 64


def is_said_by_the_schema(fields):
    """Whether the schema tells a good name from a bad one."""
    name = fields.get("member") if isinstance(fields, dict) else None
    return not isinstance(name, str) or len(name) > CHARACTERS_MAX or len(name.encode()) <= BYTES_MAX


@schemathesis.hook
def filter_query(context, query):
    return is_said_by_the_schema(query)


@schemathesis.hook
def filter_body(context, body):
    return is_said_by_the_schema(body)
