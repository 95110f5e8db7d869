-- One statement appends whatever enters the log, also what the service itself announces in the transaction of a member.
-- It names occasions, and PostgreSQL asks for this right even where no row is written. Without a policy none can be.
GRANT INSERT ON occasions TO mutuality_service;
