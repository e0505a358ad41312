alter table payments.risk_assessments rename column outcomes to reasons;
comment on table payments.risk_assessments is 'What was made of an observation: the rules that held and the external scorer''s word, as JSON. Never updated, never deleted.';
