/** The OpenAPI 3.1 document, generated from the operations and schemas in use. */
import { z } from 'zod';
import { problemContentType, problemDocument, problems, type ProblemName } from '../../shared/errors.ts';
import type { Operation, OperationResponse } from './operation.ts';
import { version } from '../version.ts';

type JSONValue = Record<string, unknown>;

/** Every operation may answer with these. */
const COMMON: readonly ProblemName[] = [
  'too-many-requests',
  'internal',
  'api-server',
  'overloaded',
  'deadline',
];
const WITH_BODY: readonly ProblemName[] = [
  'malformed-body',
  'body-too-large',
  'unsupported-media-type',
  'request-timeout',
];

export function openAPIDocument(operations: readonly Operation[]): JSONValue {
  const paths: Record<string, JSONValue> = {};
  for (const operation of operations)
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method.toLowerCase()]: describe(operation),
    };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Hawser API gateway',
      version,
      description: 'The API through which clusters peer: tokens, identities and network documents.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      securitySchemes: {
        kubernetes: {
          type: 'http',
          scheme: 'bearer',
          description: 'A bearer token of the Kubernetes cluster in which the API gateway runs',
        },
        clusterKey: {
          type: 'apiKey',
          in: 'header',
          name: 'Signature',
          description:
            'HTTP Message Signature (RFC 9421), label hawser, alg ed25519, over @method, @authority, @path, @query, content-digest (RFC 9530) and hawser-recipient (fingerprint of this cluster’s key), with the parameters created, nonce and keyid (the signer’s cluster ID)',
        },
      },
      schemas: { Problem: schemaOf(problemDocument, 'output') },
    },
  };
}

function describe(operation: Operation): JSONValue {
  const { id, summary, parameters, body, authentication } = operation;
  const names = [...operation.problems, ...COMMON, ...(body === undefined ? [] : WITH_BODY)];
  return {
    operationId: id,
    summary,
    security:
      // OpenAPI has no security scheme for a secret in the body; the schema describes it.
      authentication.by === 'Nobody' || authentication.by === 'TokenSecret'
        ? []
        : [{ [authentication.by === 'Kubernetes' ? 'kubernetes' : 'clusterKey']: [] }],
    ...(parameters !== undefined && {
      parameters: parameters.map(({ schema, ...parameter }) => ({
        ...parameter,
        required: parameter.in === 'path',
        schema: schemaOf(schema, 'input'),
      })),
    }),
    ...(body !== undefined && {
      requestBody: {
        required: !(body.optional ?? false),
        content: { 'application/json': { schema: schemaOf(body.schema, 'input') } },
      },
    }),
    responses: { ...describeResponses(operation.responses), ...describeProblems(names) },
  };
}

function describeResponses(responses: readonly OperationResponse[]): JSONValue {
  const described: Record<string, { description: string; content?: JSONValue }> = {};
  for (const { status, description, schema, contentType } of responses) {
    const before = described[status];
    const content = {
      ...before?.content,
      ...(schema !== undefined && {
        [contentType ?? 'application/json']: { schema: schemaOf(schema, 'output') },
      }),
    };
    described[status] = {
      description: before === undefined ? description : `${before.description}. ${description}`,
      ...(Object.keys(content).length > 0 && { content }),
    };
  }
  return described;
}

function describeProblems(names: readonly ProblemName[]): JSONValue {
  const byStatus = Map.groupBy(new Set(names), (name) => problems[name].status);
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      String(status),
      {
        description: group.map((name) => `${name}: ${problems[name].title}`).join('; '),
        content: { [problemContentType]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): JSONValue {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as JSONValue;
  return rest;
}
