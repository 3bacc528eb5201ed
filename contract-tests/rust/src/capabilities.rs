//! What is claimed: everything a server-side SDK can have.

pub(crate) const CAPABILITIES: &[&str] = &[
    // What kind of SDK it is.
    "server-side",
    "strongly-typed",
    "client-independence",
    // Evaluation.
    "all-flags-with-reasons",
    "all-flags-client-side-only",
    "all-flags-details-only-for-tracked-flags",
    "client-prereq-events",
    "big-segments",
    "evaluation-hooks",
    "track-hooks",
    "hook-environment-id",
    "migrations",
    "flag-change-listeners",
    "flag-value-change-listeners",
    "context-type",
    "context-comparison",
    "user-type",
    // No name of the public harness: users of old whose attributes have wrong types are refused.
    "strict-users",
    "secure-mode-hash",
    // Delivery.
    "server-side-polling",
    "service-endpoints",
    "filtering",
    "filtering-strict",
    "polling-gzip",
    "instance-id",
    "tags",
    "wrapper",
    "http-proxy",
    "tls:verify-peer",
    "tls:skip-verify-peer",
    "tls:custom-ca",
    "retry-conformance-fdv1-streaming",
    "retry-conformance-fdv1-polling",
    "fdv1-fallback",
    // Events.
    "event-gzip",
    "optional-event-gzip",
    "event-sampling",
    "inline-context",
    "inline-context-all",
    "anonymous-redaction",
    "omit-anonymous-contexts",
    // Databases.
    "persistent-data-store-redis",
    "persistent-data-store-consul",
    #[cfg(feature = "dynamodb")]
    "persistent-data-store-dynamodb",
];
