create table users.reset_requests (
    request_id bigint generated always as identity primary key,
    email_key text not null,
    at_ms bigint not null
);
comment on table users.reset_requests is 'Addresses for which a password reset was asked, until a worker has looked whose they are: the gateway does the same for each.';
