-- How far each stream of the outbox has been purged: nothing above it is gone. A listener that resumes
-- from an older position is told to load anew. Written by the statement that deletes.
create table bus.purged (
    stream text collate "C" primary key,
    xid bigint not null,
    id bigint not null
);
