package gitlabtest

import (
	"cmp"
	"iter"
	"slices"
)

// list is a sequence of objects in the order of their ids. Some parts of it are
// made when they are read, so it can be long.
type list[T any] []part[T]

// part is a part of a list.
type part[T any] struct {
	first  int64 // the least id, of a part that is made
	n      int
	at     func(i int) T
	before func(id int64) int // how many of them have lesser ids
}

// listOf returns a list of stored objects and of parts that are made, both by id.
func listOf[T any](stored []T, id func(T) int64, made []part[T]) list[T] {
	search := func(items []T, want int64) int {
		at, _ := slices.BinarySearchFunc(items, want, func(item T, want int64) int { return cmp.Compare(id(item), want) })
		return at
	}
	var l list[T]
	addStored := func(items []T) {
		l = append(l, part[T]{
			n:      len(items),
			at:     func(i int) T { return items[i] },
			before: func(id int64) int { return search(items, id) },
		})
	}
	for _, p := range made {
		n := search(stored, p.first)
		addStored(stored[:n])
		stored = stored[n:]
		l = append(l, p)
	}
	addStored(stored)
	return l
}

// consecutive is a part with ids that follow each other.
func consecutive[T any](first int64, n int, at func(i int) T) part[T] {
	return part[T]{first, n, at, func(id int64) int { return int(max(0, min(int64(n), id-first))) }}
}

func (l list[T]) len() int {
	n := 0
	for _, p := range l {
		n += p.n
	}
	return n
}

// before returns how many objects have ids less than this one.
func (l list[T]) before(id int64) int {
	n := 0
	for _, p := range l {
		n += p.before(id)
	}
	return n
}

// forward goes through the list, least id first.
func (l list[T]) forward() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, p := range l {
			for i := range p.n {
				if !yield(p.at(i)) {
					return
				}
			}
		}
	}
}

// backward goes through the first n objects of the list, greatest id first.
func (l list[T]) backward(n int) iter.Seq[T] {
	return func(yield func(T) bool) {
		skip := l.len() - n
		for _, p := range slices.Backward(l) {
			for i := p.n - 1 - skip; i >= 0; i-- {
				if !yield(p.at(i)) {
					return
				}
			}
			skip = max(0, skip-p.n)
		}
	}
}

// filter returns the items that are wanted.
func filter[T any](items iter.Seq[T], wanted func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for item := range items {
			if wanted(item) && !yield(item) {
				return
			}
		}
	}
}

// allJobs lists a project's jobs.
func (p *project) allJobs() list[*job] {
	var made []part[*job]
	for _, o := range p.old {
		made = append(made, consecutive(o.FirstJob, o.Count, o.job))
	}
	return listOf(p.jobs, jobID, made)
}

// allPipelines lists a project's pipelines, the old ones without their jobs and
// the fields that follow from those: see whole.
func (p *project) allPipelines() list[*pipeline] {
	var made []part[*pipeline]
	for _, o := range p.old {
		made = append(made, consecutive(o.FirstPipeline, o.pipelines(), o.head))
	}
	return listOf(p.pipelines, pipelineID, made)
}
