package ledger

// PartOf returns the part of a project's statistics that has the leaves of a job and class.
func PartOf(class, job string) int { return label{Class: class, Job: job}.part() }
