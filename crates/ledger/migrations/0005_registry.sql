-- The schema registry: its changes, one behind the other. What they come to is worked out by whoever reads them.

CREATE TABLE registry_changes (
    revision BIGINT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    document TEXT NOT NULL
);
