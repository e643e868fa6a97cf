//! HTTP API, Postgres wire, pages.
