create table moderation.cases (
    case_id uuid primary key,
    target_kind text collate "C" not null check (target_kind in ('user', 'artist', 'song')),
    target_id uuid not null,
    subject_id uuid,
    status text not null default 'open' check (status in ('open', 'claimed', 'resolved')),
    reports integer not null default 1 check (reports > 0),
    opened_at_ms bigint not null,
    claimed_by uuid,
    claimed_at_ms bigint,
    outcome text check (outcome in ('dismiss', 'warn', 'suspend')),
    explanation text,
    resolved_at_ms bigint,
    check ((status = 'open') = (claimed_by is null)),
    check ((status = 'resolved') = (outcome is not null))
);
comment on table moderation.cases is 'All reports of one target until they are resolved together.';
comment on column moderation.cases.subject_id is 'The user whose the target is; null if it is nobody''s.';
create unique index cases_unresolved on moderation.cases (target_kind, target_id) where status <> 'resolved';
create index cases_oldest on moderation.cases (status, opened_at_ms, case_id);

create table moderation.reports (
    report_id uuid primary key,
    case_id uuid not null references moderation.cases (case_id),
    reporter_id uuid not null,
    reason text not null,
    text text,
    at_ms bigint not null,
    unique (case_id, reporter_id)
);
create index reports_newest on moderation.reports (reporter_id, at_ms desc, report_id desc);

create table moderation.suspensions (
    suspension_id uuid primary key,
    user_id uuid not null,
    case_id uuid not null references moderation.cases (case_id),
    moderator_id uuid not null,
    explanation text not null,
    prior_status text not null,
    from_ms bigint not null,
    until_ms bigint check (until_ms > from_ms),
    status text not null default 'active' check (status in ('active', 'lapsed', 'overturned')),
    appeal text not null default 'none' check (appeal in ('none', 'pending', 'upheld', 'overturned', 'moot')),
    appeal_text text,
    appealed_at_ms bigint,
    decided_by uuid,
    decided_at_ms bigint,
    decision_text text,
    check ((appeal = 'none') = (appealed_at_ms is null)),
    check (decided_by is null or decided_by <> moderator_id)
);
comment on column moderation.suspensions.until_ms is 'Null: until an appeal is granted.';
create unique index suspensions_active on moderation.suspensions (user_id) where status = 'active';
create index suspensions_of_user on moderation.suspensions (user_id, from_ms desc);
create index suspensions_due on moderation.suspensions (until_ms) where status = 'active';
create index suspensions_appealed on moderation.suspensions (appealed_at_ms, suspension_id) where appeal = 'pending';
