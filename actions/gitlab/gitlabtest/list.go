package gitlabtest

import (
	"cmp"
	"iter"
	"slices"
)

// list is things in the order of their ids. Some parts of it are made when they
// are looked at, so it can be long.
type list[T any] []part[T]

// part is some of the things of a list.
type part[T any] struct {
	first  int64 // the least id, of a part that is made
	n      int
	at     func(i int) T
	before func(id int64) int // how many of them have lesser ids
}

// listOf is a list of what is kept, by id, and of parts that are made, by id.
func listOf[T any](kept []T, id func(T) int64, made []part[T]) list[T] {
	search := func(things []T, want int64) int {
		at, _ := slices.BinarySearchFunc(things, want, func(thing T, want int64) int { return cmp.Compare(id(thing), want) })
		return at
	}
	var l list[T]
	keep := func(things []T) {
		l = append(l, part[T]{
			n:      len(things),
			at:     func(i int) T { return things[i] },
			before: func(id int64) int { return search(things, id) },
		})
	}
	for _, p := range made {
		n := search(kept, p.first)
		keep(kept[:n])
		kept = kept[n:]
		l = append(l, p)
	}
	keep(kept)
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

// before is how many things have ids less than this one.
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

// backward goes through the first n things of the list, greatest id first.
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

// filter leaves out what is not wanted.
func filter[T any](things iter.Seq[T], wanted func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for thing := range things {
			if wanted(thing) && !yield(thing) {
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
// what follows from those: see whole.
func (p *project) allPipelines() list[*pipeline] {
	var made []part[*pipeline]
	for _, o := range p.old {
		made = append(made, consecutive(o.FirstPipeline, o.pipelines(), o.head))
	}
	return listOf(p.pipelines, pipelineID, made)
}
