create table payments.risk_policies (
    version integer primary key check (version > 0),
    policy text not null,
    note text not null,
    proposed_by text not null,
    at_ms bigint not null
);
comment on table payments.risk_policies is 'Every version of the antifraud policy, as JSON. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.risk_policies
    for each statement execute function payments.refuse_change();

create table payments.risk_activations (
    number bigint generated always as identity primary key,
    version integer not null references payments.risk_policies (version),
    activated_by text not null,
    reason text not null,
    at_ms bigint not null
);
comment on table payments.risk_activations is 'Which version of the policy decides since when: the last row''s. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.risk_activations
    for each statement execute function payments.refuse_change();

create table payments.risk_observations (
    payment_id uuid primary key,
    payer_id uuid not null,
    policy_version integer not null references payments.risk_policies (version),
    features text not null,
    at_ms bigint not null
);
comment on table payments.risk_observations is 'What was known when somebody wanted to begin a payment, as JSON. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.risk_observations
    for each statement execute function payments.refuse_change();
create index risk_observations_newest on payments.risk_observations (at_ms desc, payment_id desc);

create table payments.risk_sightings (
    kind text collate "C" not null check (kind in ('user', 'card', 'device', 'network')),
    digest bytea not null,
    at_ms bigint not null,
    payment_id uuid not null,
    worth_cents bigint not null,
    primary key (kind, digest, at_ms, payment_id)
);
comment on table payments.risk_sightings is 'Who and what took part in the beginning of each payment, looked up by time.';
comment on column payments.risk_sightings.digest is 'HMAC of what is seen under a secret of the platform: a stolen table names nobody''s card or address.';

create table payments.risk_links (
    kind text collate "C" not null check (kind in ('card', 'device')),
    digest bytea not null,
    payer_id uuid not null,
    first_at_ms bigint not null,
    primary key (kind, digest, payer_id)
);
comment on table payments.risk_links is 'Which users paid with which card, from which browser: the graph of what accounts share.';
create index risk_links_payer on payments.risk_links (payer_id);

create table payments.risk_assessments (
    payment_id uuid primary key references payments.risk_observations (payment_id),
    policy_version integer not null references payments.risk_policies (version),
    verdict text not null check (verdict in ('allow', 'review', 'deny')),
    score integer not null check (score between 0 and 100),
    outcomes text not null,
    external text,
    at_ms bigint not null
);
comment on table payments.risk_assessments is 'What was made of an observation: every rule''s outcome and the external scorer''s word, as JSON. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.risk_assessments
    for each statement execute function payments.refuse_change();

create table payments.review_claims (
    payment_id uuid primary key references payments.payments (payment_id),
    reviewer_id uuid not null,
    claimed_at_ms bigint not null,
    expires_at_ms bigint not null
);
comment on table payments.review_claims is 'Who looks at a payment on hold, until when; gone with the decision.';

create table payments.review_notes (
    note_id uuid primary key,
    payment_id uuid not null references payments.payments (payment_id),
    author_id uuid not null,
    text text not null,
    at_ms bigint not null
);
comment on table payments.review_notes is 'What reviewers wrote down. Never updated, never deleted.';
create index review_notes_payment on payments.review_notes (payment_id, at_ms, note_id);
create trigger append_only before update or delete or truncate on payments.review_notes
    for each statement execute function payments.refuse_change();

create index payments_denied on payments.payments (payer_id) where failure = 'denied';
create index payments_disputed on payments.payments (payer_id) where status = 'disputed';
