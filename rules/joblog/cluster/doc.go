// Package cluster groups lines of logs that say the same of different things. First the
// parts of a line that vary from job to job are masked: numbers, ids, paths, hosts, times.
// Then the line is compared with the groups that there are, by Drain's algorithm (He et al.,
// "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017):
//
//	number of words ──► first word ──► groups
//
// The line joins the most similar group of its leaf, whose words that differ become
// wildcards, or begins a group of its own.
package cluster
