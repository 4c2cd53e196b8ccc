//! `docs/directives.md`, made from the tables.
