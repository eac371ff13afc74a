package admin

import "context"

// maxScan bounds how many items of a list one request reads; a filter that matches few
// continues with the next request.
const maxScan = 5000

// scan returns up to limit of the items that follow the cursor and that keep turns into
// something to show, and the cursor of the next page, "" at the end. It reads until the
// page is full, the list ends, or maxScan items were read. The first step is no longer than
// the page, so that all of it is on the page. A later step may fill the page before its
// end; it is then repeated with the right length, for the cursor of that place.
func scan[T, R any](
	ctx context.Context, list func(ctx context.Context, cursor string, n int) ([]T, string, error), cursor string, limit int, keep func(T) (R, bool),
) (page []R, next string, err error) {
	page, next = []R{}, cursor
	for step, scanned := limit, 0; scanned < maxScan; step = maxLimit {
		from := next
		var items []T
		if items, next, err = list(ctx, from, step); err != nil {
			return nil, "", err
		}
		for i, item := range items {
			shown, ok := keep(item)
			if !ok {
				continue
			}
			page = append(page, shown)
			if len(page) == limit && i+1 < len(items) {
				if _, next, err = list(ctx, from, i+1); err != nil {
					return nil, "", err
				}
				break
			}
		}
		if next == "" || len(page) == limit {
			break
		}
		scanned += len(items)
	}
	return page, next, nil
}
