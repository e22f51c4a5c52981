/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chardev.h"

void chardev_attach(struct chardev *c, const struct chardev_client *client,
                    void *ctx)
{
    if (!c)
        return;
    c->client = client;
    c->client_ctx = ctx;
}

size_t chardev_write(struct chardev *c, const uint8_t *buf, size_t len)
{
    if (!c || c->away || !c->ops || !c->ops->write)
        return len;
    return c->ops->write(c, buf, len);
}

void chardev_can_accept(struct chardev *c)
{
    if (c && c->ops && c->ops->can_accept)
        c->ops->can_accept(c);
}

void chardev_opened(struct chardev *c, bool on)
{
    if (c && c->ops && c->ops->opened)
        c->ops->opened(c, on);
}

bool chardev_ready(struct chardev *c)
{
    return c->client && (!c->client->ready || c->client->ready(c->client_ctx));
}

size_t chardev_room(struct chardev *c)
{
    if (!c->client || !c->client->can_receive)
        return 0;
    return c->client->can_receive(c->client_ctx);
}

bool chardev_polled(struct chardev *c)
{
    return c->client && c->client->polled && c->client->polled(c->client_ctx);
}

void chardev_receive(struct chardev *c, const uint8_t *buf, size_t len)
{
    if (c->client && c->client->receive)
        c->client->receive(c->client_ctx, buf, len);
}

void chardev_writable(struct chardev *c)
{
    if (c->client && c->client->writable)
        c->client->writable(c->client_ctx);
}

void chardev_resize(struct chardev *c, unsigned cols, unsigned rows)
{
    c->cols = (uint16_t)cols;
    c->rows = (uint16_t)rows;
    if (c->client && c->client->resize)
        c->client->resize(c->client_ctx, cols, rows);
}

void chardev_break(struct chardev *c)
{
    if (c->client && c->client->send_break)
        c->client->send_break(c->client_ctx);
}

void chardev_connect(struct chardev *c, bool on)
{
    c->away = !on;
    if (c->client && c->client->connected)
        c->client->connected(c->client_ctx, on);
}
