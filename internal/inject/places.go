package inject

// places finds parts of a list by key: by walking a short list, by a map in a long one, so that merging takes no longer
// than reading, however many variables or labels a pod brings.
type places[T any, K comparable] struct {
	keyOf func(T) K
	index map[K]int
}

// placesOf are those of list, which will grow to at most size parts.
func placesOf[T any, K comparable](size int, list []T, keyOf func(T) K) places[T, K] {
	p := places[T, K]{keyOf: keyOf}
	if size <= few {
		return p
	}
	p.index = make(map[K]int, size)
	for i, part := range list {
		p.add(keyOf(part), i)
	}
	return p
}

// add notes a part appended at i. Of two with the same key the first is found.
func (p *places[T, K]) add(key K, i int) {
	if _, twice := p.index[key]; p.index != nil && !twice {
		p.index[key] = i
	}
}

// find is the place of the part with this key; -1 if there is none.
func (p *places[T, K]) find(list []T, key K) int {
	if p.index != nil {
		if i, found := p.index[key]; found {
			return i
		}
		return -1
	}
	for i := range list {
		if p.keyOf(list[i]) == key {
			return i
		}
	}
	return -1
}
