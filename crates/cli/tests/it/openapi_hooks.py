"""What schemathesis has to be told of media types that it does not know: bodies are sent as they are."""
import json

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/vnd.apache.arrow.stream", "application/cloudevents+json")
def as_it_is(ctx, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value).encode()
