package sim

import "net/http"

// kind is an endpoint.
type kind uint8

const (
	kindNone kind = iota
	kindChat
	kindCompletion
	kindEmbedding
	kindResponse
	kindModeration
	kindModels
)

func kindOf(path string) kind {
	switch path {
	case "/v1/chat/completions":
		return kindChat
	case "/v1/completions":
		return kindCompletion
	case "/v1/embeddings":
		return kindEmbedding
	case "/v1/responses":
		return kindResponse
	case "/v1/moderations":
		return kindModeration
	case "/v1/models":
		return kindModels
	default:
		return kindNone
	}
}

func (k kind) method() string {
	if k == kindModels {
		return http.MethodGet
	}
	return http.MethodPost
}

// streams says whether the endpoint knows chunks; the others answer whole.
func (k kind) streams() bool { return k == kindChat || k == kindCompletion }
