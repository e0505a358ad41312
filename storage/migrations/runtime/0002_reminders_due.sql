-- What is due is found by time first: a poll reads the due end of the index, whatever the kinds.
drop index runtime.reminders_due;
create index reminders_due on runtime.reminders (not_before_ms, kind);
