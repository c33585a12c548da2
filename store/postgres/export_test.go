package postgres

// ExplainedStatements are those that must use an index, each with the parameters to explain it with.
var ExplainedStatements = []struct{ Name, SQL, Index, Args string }{
	{"next wake", nextWakeSQL, "tidings_saga_wake", ""},
	{"due sagas", dueSagasSQL, "tidings_saga_wake", "(now(), 100)"},
	{"unfinished sagas", unfinishedSagasSQL, "tidings_saga_open", "('create-order', 'f', '1', 100)"},
	{"next timer", nextTimerSQL, "tidings_timer_due", ""},
	{"due timers", takeSQL, "tidings_timer_due", "(now(), 100)"},
}
