"""What schemathesis may not make up, for JSON Schema cannot say that it is bad: it counts a name's characters where the
server counts bytes, and takes 1.0 for an integer where the server wants one that is written as such."""

import schemathesis

CHARACTERS_MAX = BYTES_MAX = 64


def is_told_apart(fields):
    """Whether the schema, too, tells whether these are good or bad."""
    if not isinstance(fields, dict):
        return True
    member, at = fields.get("member"), fields.get("at")
    is_long_in_bytes = isinstance(member, str) and len(member) <= CHARACTERS_MAX and len(member.encode()) > BYTES_MAX
    return not is_long_in_bytes and not (isinstance(at, float) and at.is_integer())


@schemathesis.hook
def filter_query(context, query):
    return is_told_apart(query)


@schemathesis.hook
def filter_body(context, body):
    return is_told_apart(body)
