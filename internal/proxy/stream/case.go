package stream

// Case is how a sender of HTTP/1.1 spelled the names of fields, by the name in lower case. HTTP/1.1 writes them so again;
// nil: all are in lower case. It is never changed once it was noted.
type Case map[string]string
