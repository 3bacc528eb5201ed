"""What is claimed: everything a server-side SDK can have in a language that does not check types."""

CAPABILITIES = [
    # What kind of SDK it is.
    "server-side",
    "client-independence",
    # Evaluation.
    "all-flags-with-reasons",
    "all-flags-client-side-only",
    "all-flags-details-only-for-tracked-flags",
    "client-prereq-events",
    "evaluation-hooks",
    "track-hooks",
    "hook-environment-id",
    "flag-change-listeners",
    "flag-value-change-listeners",
    "context-type",
    "context-comparison",
    "user-type",
    "secure-mode-hash",
    # Delivery.
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
    # Events.
    "event-gzip",
    "optional-event-gzip",
    "event-sampling",
    "inline-context",
    "inline-context-all",
    "anonymous-redaction",
    "omit-anonymous-contexts",
]
